"""Token counts where no server told any, by an estimator that the operator chose (off by default). Marked `estimated`, never more.

An estimate is made of the texts that the exchange holds: without the template that a server puts around messages, without images and
sound. What is not all there is not estimated, and what did not generate anything costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.decode.reading import Reading
from collector.decode.usage import Estimator
from collector.decode.values import items, mapping, objects
from collector.messages.usage import UsageName

_CHARS = 1 << 20  # longer texts are not estimated: an estimator may take a second for each of them
_ASKED = ("system", "instructions", "prompt", "input", "inputs", "messages")
_OPERATIONS = ("chat", "completion", "response", "messages", "generate", "generate_stream")


def estimate(reading: Reading, estimator: Estimator) -> None:
    """Fills in prompt and completion tokens that nobody told, and of a stream that was broken off the tokens that were delivered."""
    said = reading.choices.text()
    if reading.operation not in _OPERATIONS or not said:
        return
    _note(reading, "completion_tokens", said, estimator)
    if reading.request.whole:
        _note(reading, "prompt_tokens", "\n".join(_asked(reading.asked)), estimator)
    if reading.streamed and not reading.response.whole and not reading.choices.ended():
        _note(reading, "delivered_tokens", said, estimator)


def _note(reading: Reading, name: UsageName, text: str, estimator: Estimator) -> None:
    if len(text) > _CHARS:
        reading.problem(f"{name} not estimated: more than {_CHARS} characters")
        return
    if reading.usage.value(name) is not None or not text:
        return
    for model in (reading.inference.get("model_requested"), reading.inference.get("model_answered"), ""):
        if model is not None and (count := estimator(model, text)) is not None:
            reading.usage.estimate(name, count)
            return


def _asked(asked: object) -> Iterator[str]:
    """The texts of a request, as OpenAI (Chat, Completions, Responses), Anthropic and TGI put them."""
    for key in _ASKED:
        yield from _texts(mapping(asked).get(key))


def _texts(value: object) -> Iterator[str]:
    """A text, several, or messages and parts with `content` or `text`."""
    if isinstance(value, str):
        yield value
        return
    yield from (text for text in items(value) if isinstance(text, str))
    for part in objects(value):
        for content in (part.get("content"), part.get("text")):
            if isinstance(content, str):
                yield content
        for inner in objects(part.get("content")):
            if isinstance(text := inner.get("text"), str):
                yield text
