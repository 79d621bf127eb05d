"""Bedrock's Converse, streamed or not; Amazon's own models answer so to Invoke too.

Usage comes in the event `metadata`, behind `messageStop`. `inputTokens` leaves cached tokens out, `totalTokens` is all of them.
"""

from __future__ import annotations

from collector.decode import anthropic, failures
from collector.decode.choices import Call, Choice
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.usage_names import Names
from collector.decode.values import Object, items, mapping, name, objects, text

_WRITES: Names = {"5m": "cache_creation_5m_tokens", "1h": "cache_creation_1h_tokens"}
_NAMES: Names = {
    "inputTokens": "prompt_tokens",
    "inputTokenCount": "prompt_tokens",
    "outputTokens": "completion_tokens",
    "outputTokenCount": "completion_tokens",
    "totalTokens": "total_tokens",
    "cacheReadInputTokens": "cached_tokens",
    "cacheReadInputTokenCount": "cached_tokens",
    "cacheWriteInputTokens": "cache_creation_tokens",
    "cacheWriteInputTokenCount": "cache_creation_tokens",
    "cacheDetails": _WRITES,
}
_LIFETIMES = 8
EVENTS = frozenset(("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"))


def images(asked: Object) -> int:
    """How many images the messages of a request hold."""
    parts = (part for message in objects(asked.get("messages")) for part in objects(message.get("content")))
    return sum(isinstance(part.get("image"), dict) for part in parts)


def read_answer(reading: Reading, answer: Object) -> None:
    """An answer that is not streamed."""
    read_end(reading, answer)
    message = mapping(mapping(answer.get("output")).get("message"))
    if message:
        choice = reading.choices.at(0)
        choice.role = name(message.get("role"))
        for block in reading.blocks(message.get("content")):
            _block(choice, block)


def read_end(reading: Reading, told: Object) -> None:
    """What an answer's last members tell, or the event `metadata` or `messageStop`."""
    if reason := name(told.get("stopReason")):
        reading.choices.at(0).finish_reason = reason
    reading.put("service_tier", name(mapping(told.get("serviceTier")).get("type")))
    read_head(reading, {"model": mapping(mapping(told.get("trace")).get("promptRouter")).get("invokedModelId")})
    if isinstance(usage := told.get("usage"), dict):
        read_usage(reading, usage)


def read_usage(reading: Reading, usage: Object, told: Told = Told.FINAL) -> None:
    """A usage object, or the metrics of an invocation."""
    writes = {name(each.get("ttl")) or "": each.get("inputTokens") for each in objects(items(usage.get("cacheDetails"))[:_LIFETIMES])}
    reading.usage.frame(usage | {"cacheDetails": writes}, told, _NAMES)


def _block(choice: Choice, block: Object) -> None:
    for part in (block, *objects(mapping(block.get("citationsContent")).get("content"))):
        if isinstance(piece := part.get("text"), str):
            choice.add_text(piece)
    thought = mapping(mapping(block.get("reasoningContent")).get("reasoningText"))
    if isinstance(piece := thought.get("text"), str):
        choice.add_reasoning(piece)
    if isinstance(used := block.get("toolUse"), dict):
        anthropic.give_input(_call(choice, used), used.get("input"))


def _call(choice: Choice, used: Object) -> Call:
    call = choice.new_call()
    call.id, call.name = name(used.get("toolUseId")), name(used.get("name"))
    return call


class Stream:
    """Reads the events of a stream."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._calls: dict[object, Call] = {}

    def take(self, kind: object, event: Object, end: int) -> None:
        """The next event. `kind`: its name. `end`: how many bytes had to arrive for it."""
        reading = self._reading
        if kind == "contentBlockDelta":
            if self._delta(event, mapping(event.get("delta"))):
                reading.content.append(end)
        elif kind == "contentBlockStart":
            self._start(event, end)
        elif kind == "contentBlockStop":
            if call := self._calls.pop(_index(event), None):
                anthropic.compact_arguments(call)
        elif kind == "messageStart":
            reading.choices.at(0).role = name(event.get("role"))
        elif kind == "messageStop" or kind == "metadata":
            read_end(reading, event)
        elif error := failures.find(event, None):
            failures.put(reading, error)

    def _start(self, event: Object, end: int) -> None:
        used = mapping(event.get("start")).get("toolUse")
        choice = self._reading.choices.at(0)
        if isinstance(used, dict) and self._reading.has_room(choice.calls):
            self._calls[_index(event)] = _call(choice, used)
            self._reading.content.append(end)

    def _delta(self, event: Object, delta: Object) -> bool:
        choice = self._reading.choices.at(0)
        if (piece := text(delta.get("text"))) is not None:
            choice.add_text(piece)
            return bool(piece)
        if (piece := text(mapping(delta.get("reasoningContent")).get("text"))) is not None:
            choice.add_reasoning(piece)
            return bool(piece)
        if (piece := text(mapping(delta.get("toolUse")).get("input"))) is not None:
            if call := self._calls.get(_index(event)):
                call.arguments.append(piece)
            return bool(piece)
        return "image" in delta


def _index(event: Object) -> object:
    index = event.get("contentBlockIndex")
    return index if isinstance(index, int) else 0
