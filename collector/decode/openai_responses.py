"""OpenAI Responses, streamed or not. A stream has no end mark; its last event carries the whole response, which then holds.

A response has one choice here: its text is the output messages' text, its reasoning the reasoning items' text or summary, its tool
calls the function, custom tool and MCP calls (id: `call_id`). Retrieving, cancelling or listing reports no usage: that was reported when
the response was made. Of a background response it was not: only who polls it is told. Compacting is a pass of the model, whose output is
not for reading.
"""

from collector.decode import failures
from collector.decode.choices import Call, Choice, Choices
from collector.decode.openai_chat import images, read_head
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.values import Object, mapping, name, objects, text

TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_TEXT = "response.output_text.delta"
REFUSAL = "response.refusal.delta"
REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta", "response.reasoning.delta")
ARGUMENTS = (
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
)
_RUNNING = ("in_progress", "queued")
_CALLS = ("function_call", "custom_tool_call", "mcp_call")


def read(reading: Reading) -> None:
    """Fills the reading from a call to Responses."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    if b'"input_image' in reading.request.data:
        reading.count_asked("images", images(asked.get("input")) or None)
    if reading.streamed:
        _Stream(reading).run()
        return
    failures.read(reading)
    if isinstance(answer := reading.answer, dict):
        _whole(reading, answer, reading.operation == "response")
        _read_retold(reading, answer)


def _read_retold(reading: Reading, response: Object) -> None:
    """The usage of what was compacted, or of a background response that has come to its end: nobody else is told of it."""
    is_over = response.get("background") is True and response.get("status") not in _RUNNING
    if reading.operation == "compact" or (reading.operation in ("retrieve", "cancel") and is_over):
        read_usage(reading, response)


def _whole(reading: Reading, response: Object, generated: bool) -> None:
    read_head(reading, response)
    if response.get("background") is True:
        reading.tell_background(response)
    failures.put(reading, response.get("error"))
    if not generated:
        return
    if output := reading.blocks(response.get("output")):
        choices = Choices(reading.limits.choices)
        choice = choices.at(0)
        for item in output:
            add_item(choice, item)
        if any(choice.pieces()) or not reading.content:  # some servers end a stream with an answer that holds nothing of it
            reading.choices = choices
    if "output" in response:
        _finish(reading.choices.at(0), response)
    read_usage(reading, response)


def read_usage(reading: Reading, response: Object) -> None:
    """The usage of a whole response."""
    if isinstance(usage := response.get("usage"), dict):
        reading.usage.frame(usage, Told.FINAL)


def read_late(reading: Reading, event: Object) -> None:
    """One of a stream's last events, where events before it are missing. The terminal one holds the whole response."""
    if (kind := event.get("type")) in TERMINAL:
        _whole(reading, mapping(event.get("response")), True)
    elif kind == "error":
        failures.put(reading, event)


def _finish(choice: Choice, response: Object) -> None:
    if reason := end_reason(response):
        choice.finish_reason = reason


def end_reason(response: Object) -> str | None:
    """Why a response ended; None while it goes on, or where that is not told. Realtime tells it in `status_details`."""
    status = name(response.get("status"))
    if status in _RUNNING:
        return None
    details = mapping(response.get("incomplete_details")) or mapping(response.get("status_details"))
    return name(details.get("reason")) or status


def add_item(choice: Choice, item: Object) -> None:
    """An item of a response's output."""
    kind = item.get("type")
    if kind == "message":
        choice.role = name(item.get("role")) or choice.role
        for part in objects(item.get("content")):
            _part(choice, part)
    elif kind == "reasoning":
        thoughts = objects(item.get("content")) or objects(item.get("summary"))
        for thought in thoughts:
            choice.add_reasoning(text(thought.get("text")) or "")
    elif kind in _CALLS:
        call = Call()
        call.id, call.name = name(item.get("call_id")) or name(item.get("id")), name(item.get("name"))
        if not call.give(item.get("arguments")):
            call.give(item.get("input"))
        choice.calls.append(call)


def _part(choice: Choice, part: Object) -> None:
    if isinstance(said := part.get("text", part.get("transcript")), str):  # of a spoken answer its transcript
        choice.add_text(said)
    if isinstance(refused := part.get("refusal"), str):
        choice.add_refusal(refused)
    if part.get("logprobs"):
        choice.logprobs = True


class _Stream:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._calls: dict[object, Call] = {}

    def run(self) -> None:
        reading = self._reading
        content = reading.content
        for event, end in reading.typed_events():
            kind = event.get("type")
            if kind == _TEXT and isinstance(piece := event.get("delta"), str):
                reading.choices.at(0).add_text(piece)
                content.append(end)
            elif isinstance(kind, str) and self._event(kind, event):
                content.append(end)
            elif kind is None or kind == "error":
                failures.put(reading, failures.find(event, None) or (event if kind else None))
                if reading.operation == "response":
                    read_usage(reading, event)

    def _event(self, kind: str, event: Object) -> bool:
        choice = self._reading.choices.at(0)
        if kind == "response.output_item.added":
            return self._added(choice, event)
        if kind in TERMINAL or kind in ("response.created", "response.in_progress"):
            response = mapping(event.get("response"))
            _whole(self._reading, response, kind in TERMINAL and self._reading.operation == "response")
            if kind in TERMINAL:
                _read_retold(self._reading, response)
            return False
        piece = event.get("delta")
        if not isinstance(piece, str) or not piece:
            return False
        return self._delta(choice, kind, event, piece)

    def _delta(self, choice: Choice, kind: str, event: Object, piece: str) -> bool:
        if kind in REASONING:
            choice.add_reasoning(piece)
        elif kind == REFUSAL:
            choice.add_refusal(piece)
        elif kind in ARGUMENTS:
            if call := self._calls.get(_key(event)):
                call.arguments.append(piece)
        else:
            return False
        return True

    def _added(self, choice: Choice, event: Object) -> bool:
        item = mapping(event.get("item"))
        before = len(choice.calls)
        if item.get("type") in _CALLS and not self._reading.has_room(choice.calls):
            return False
        add_item(choice, item)
        if len(choice.calls) > before:
            self._calls[_key(event)] = choice.calls[-1]
            return True
        return False


def _key(event: Object) -> object:
    index = event.get("output_index")
    return index if isinstance(index, int) else text(event.get("item_id"))
