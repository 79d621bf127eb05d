"""Anthropic Messages, streamed or not (also served by vLLM and gateways).

Usage comes in two events and without a total, so there is none here: `message_start` has the input numbers and a first output count, and
`message_delta` the cumulative output count. `input_tokens` does not include cached tokens (it does in OpenAI's `prompt_tokens`).
The text is the text blocks', the reasoning the thinking blocks', and tool arguments are the input as compact JSON.
"""

import orjson

from collector.decode import failures
from collector.decode.choices import Call, Choice
from collector.decode.json_text import NotJSONError, loads
from collector.decode.openai_chat import images, read_head
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.values import Object, mapping, name, text

_GENERATED = ("output_tokens", "output_tokens_details")
_TOOLS = ("tool_use", "server_tool_use", "mcp_tool_use")


def read(reading: Reading) -> None:
    """Fills the reading from a call to Messages; counting tokens generates nothing and reports no usage."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    if b'"image"' in reading.request.data:
        reading.count_asked("images", images(asked.get("messages")) or None)
    if reading.operation != "messages":
        failures.read(reading)
    elif reading.streamed:
        stream = Stream(reading)
        for event, end in reading.typed_events():
            stream.take(event, end)
    else:
        failures.read(reading)
        read_answer(reading, mapping(reading.answer))


def read_answer(reading: Reading, answer: Object) -> None:
    """A whole message; nothing, if it is none."""
    if answer.get("type") != "message":
        return
    read_head(reading, answer)
    read_usage(reading, answer.get("usage"), Told.FINAL)
    choice = reading.choices.at(0)
    choice.role = name(answer.get("role"))
    choice.finish_reason = name(answer.get("stop_reason"))
    for block in reading.blocks(answer.get("content")):
        call = _block(choice, block)
        if call is not None:
            give_input(call, block.get("input"))


def _block(choice: Choice, block: Object) -> Call | None:
    """The start of a content block, or a whole one without its tool input."""
    kind = block.get("type")
    if kind == "text":
        choice.add_text(text(block.get("text")) or "")
    elif kind == "thinking":
        choice.add_reasoning(text(block.get("thinking")) or "")
    elif kind in _TOOLS:
        call = Call()
        call.id, call.name = name(block.get("id")), name(block.get("name"))
        choice.calls.append(call)
        return call
    return None


def read_usage(reading: Reading, usage: object, told: Told) -> None:
    """A usage object of this protocol."""
    if not isinstance(usage, dict):
        return
    generated = {key: usage[key] for key in _GENERATED if key in usage}
    reading.usage.frame({key: value for key, value in usage.items() if key not in generated}, Told.STANDING)  # tools may add input
    reading.usage.frame(generated, told)
    reading.put("service_tier", name(usage.get("service_tier")))


def give_input(call: Call, value: object) -> None:
    """Adds a tool's input; it may be left out."""
    call.write(value if value is not None else {})


def compact_arguments(call: Call) -> None:
    """A tool's input that came in pieces is complete: the same text as in an answer that is not streamed."""
    try:
        told = loads("".join(call.arguments).encode() or b"{}")
        call.arguments = [orjson.dumps(told if told is not None else {}).decode()]
    except (NotJSONError, orjson.JSONEncodeError):
        pass


def read_late(reading: Reading, event: Object) -> None:
    """The event that tells why a message ended, and its last usage."""
    if event.get("type") == "message_delta":
        choice = reading.choices.at(0)
        reason = name(mapping(event.get("delta")).get("stop_reason"))
        choice.finish_reason = reason or choice.finish_reason
        read_usage(reading, event.get("usage"), Told.FINAL if reason else Told.RUNNING)


class Stream:
    """Reads the events of a streamed message."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._choice = reading.choices.at(0)
        self._calls: dict[object, Call] = {}

    def take(self, event: Object, end: int) -> None:
        """The next event, with its `type`."""
        reading, kind = self._reading, event.get("type")
        if kind == "content_block_delta":
            if self._delta(event, mapping(event.get("delta"))):
                reading.content.append(end)
        elif kind == "content_block_start":
            self._start(event, end)
        elif kind == "content_block_stop":
            self._stop(event)
        elif kind == "message_start":
            self._message(mapping(event.get("message")))
        elif kind == "message_delta":
            read_late(reading, event)
        elif error := failures.find(event, None):
            failures.put(reading, error)
            read_usage(reading, event.get("usage"), Told.RUNNING)

    def _message(self, message: Object) -> None:
        read_head(self._reading, message)
        self._choice.role = name(message.get("role"))
        read_usage(self._reading, message.get("usage"), Told.RUNNING)

    def _start(self, event: Object, end: int) -> None:
        block = mapping(event.get("content_block"))
        if block.get("type") in _TOOLS and not self._reading.has_room(self._choice.calls):
            return
        call = _block(self._choice, block)
        if call is not None:
            self._calls[_index(event)] = call
            self._reading.content.append(end)

    def _delta(self, event: Object, delta: Object) -> bool:
        kind = delta.get("type")
        if kind == "text_delta" and isinstance(piece := delta.get("text"), str):
            self._choice.add_text(piece)
            return bool(piece)
        if kind == "thinking_delta" and isinstance(piece := delta.get("thinking"), str):
            self._choice.add_reasoning(piece)
            return bool(piece)
        if kind == "input_json_delta" and isinstance(piece := delta.get("partial_json"), str):
            if call := self._calls.get(_index(event)):
                call.arguments.append(piece)
            return bool(piece)
        return False

    def _stop(self, event: Object) -> None:
        call = self._calls.pop(_index(event), None)
        if call is not None:
            compact_arguments(call)


def _index(event: Object) -> object:
    index = event.get("index")
    return index if isinstance(index, int) else 0
