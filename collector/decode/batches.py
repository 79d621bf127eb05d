"""Batch APIs: OpenAI's `/v1/batches`, whose object tells at its end what all of it used, and Anthropic's, whose results tell it by line.

A batch is told to whoever asks for it, again and again, as a background response is: `inference.background`. Its usage is read only of a
final view: of OpenAI's object once it has come to its end, of Anthropic's results if each line of them was seen. Lists tell none.
"""

from collector.decode import failures
from collector.decode.answers import Answers
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.routes import normalise
from collector.decode.usage import Told
from collector.decode.values import Object, mapping, name, objects

_OVER = ("completed", "failed", "expired", "cancelled")
RESULTS = "results"


def read(reading: Reading) -> None:
    """Fills the reading from a call about batches."""
    if not reading.streamed:
        failures.read(reading)
    if reading.operation == RESULTS:
        if "error" not in reading.inference:
            _results(reading)
        return
    answer = mapping(reading.answer)
    if answer.get("object") == "batch":
        _batch(reading, answer)
    elif answer.get("type") == "message_batch":
        read_head(reading, {"id": answer.get("id")})


def _batch(reading: Reading, batch: Object) -> None:
    read_head(reading, batch)
    reading.tell_background(batch)
    for error in objects(mapping(batch.get("errors")).get("data"))[:1]:
        failures.put(reading, error)
    if batch.get("status") in _OVER and isinstance(usage := batch.get("usage"), dict):
        reading.usage.frame(usage)


def _results(reading: Reading) -> None:
    """Lines in any order, each with a message or why there is none."""
    reading.tell_background({})
    reading.put("id", name(normalise(reading.captured.path).rsplit("/", 2)[1]))
    answers, response = reading.answers, reading.response
    answers.apart, answers.to_a_prompt = True, 1
    lines = (event for event, _ in reading.events()) if reading.streamed else iter(objects([reading.answer]))
    for index, line in enumerate(lines):
        message = mapping(mapping(line.get("result")).get("message"))
        read_head(reading, {"model": message.get("model"), "service_tier": mapping(message.get("usage")).get("service_tier")})
        if isinstance(usage := message.get("usage"), dict):
            answers.frame(index, usage, Told.FINAL)
    if not response.whole or response.partly_read or reading.has_bad_events or reading.events_are_left_out:
        reading.answers = Answers(reading.limits.answers)
        reading.problem("response body: not each line of the batch's results was read, so what all of them used is not known")
