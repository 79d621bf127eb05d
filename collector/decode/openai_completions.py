"""OpenAI Completions (the older text endpoint), streamed or not."""

from collector.decode import failures, openai_chat
from collector.decode.reading import Reading


def read(reading: Reading) -> None:
    """Fills the reading from a completion call; rendering generates nothing and reports no usage."""
    openai_chat.read_request(reading)
    if reading.operation != "completion":
        failures.read(reading)
    elif reading.streamed:
        openai_chat.Stream(reading, "text").run()
    else:
        openai_chat.read_answer(reading)
