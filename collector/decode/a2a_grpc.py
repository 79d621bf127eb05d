"""Agent2Agent over gRPC (`lf.a2a.v1.A2AService`): ids and states, read straight from the wire. Of 0.3's service, whose messages have other
numbers, only the method is told.
"""

from collections.abc import Callable, Mapping
from typing import Final

from collector.decode.grpc import messages_of, read_failure
from collector.decode.json_rpc import A2A_METHODS
from collector.decode.reading import Reading
from collector.decode.values import name
from collector.decode.wire import MalformedError, Value, fields
from collector.messages.inference import A2a, StateName

SERVICE = "a2a.v1.A2AService/"
ID_CHARS = 128
STATES: Final[tuple[StateName, ...]] = (  # by their numbers; 0 is not told
    "unknown", "submitted", "working", "completed", "failed", "canceled", "input_required", "rejected", "auth_required",
)  # fmt: skip
_OLDER = "/a2a.v1."
# What messages have under which number: specification/a2a.proto of A2A 1.0.
_ID, _CONTEXT, _STATUS, _STATE = 1, 2, 3, 1  # of a task and its updates
_OF_MESSAGE = {"context_id": 2, "task_id": 3}
Fields = dict[int, Value]  # of a message: the first of each number
_STREAMS = ("SendStreamingMessage", "SubscribeToTask")
_WITH_TASK = ("GetTask", "CancelTask", "SubscribeToTask")


def read(told: A2a, reading: Reading) -> None:
    """Fills in what a call tells, and its error."""
    captured = reading.captured
    method = captured.path.partition("?")[0].rpartition("/")[2]
    if method in A2A_METHODS:
        reading.inference["operation"] = method
    read_failure(reading)
    if captured.path.startswith(_OLDER):  # other numbers
        return
    for message, _ in messages_of(reading, reading.request):
        _request(told, method, _fields(message))
        break
    count = 0
    streams = method in _STREAMS
    for message, _ in messages_of(reading, reading.response):
        count += 1
        if streams or method == "SendMessage":
            _response(told, _fields(message))
        elif method in _WITH_TASK:
            _task(told, _fields(message))
    if streams and reading.response.whole and not reading.response.partly_read:
        told["updates"] = count


def _fields(message: object) -> Fields:
    found: Fields = {}
    if isinstance(message, memoryview):
        try:
            for number, _, value in fields(message):
                found.setdefault(number, value)
        except MalformedError:
            pass
    return found


def _text(value: object) -> str | None:
    return bytes(value[:ID_CHARS]).decode("utf-8", "replace") if isinstance(value, memoryview) else None


def put(told: A2a, key: str, value: object) -> None:
    """Sets a member if the value is an id."""
    if found := name(value, ID_CHARS):
        told[key] = found  # type: ignore[literal-required]


def _request(told: A2a, method: str, message: Fields) -> None:
    if method in ("SendMessage", "SendStreamingMessage"):
        inner = _fields(message.get(2))
        for key, number in _OF_MESSAGE.items():
            put(told, key, _text(inner.get(number)))
    elif method in _WITH_TASK:
        put(told, "task_id", _text(message.get(2)))


def _response(told: A2a, message: Fields) -> None:
    for number, reads in _PAYLOADS.items():
        if number in message:
            reads(told, _fields(message[number]))


def _task(told: A2a, task: Fields) -> None:
    told["answered"] = "task"
    put(told, "task_id", _text(task.get(_ID)))
    put(told, "context_id", _text(task.get(_CONTEXT)))
    state = _fields(task.get(_STATUS)).get(_STATE)
    if isinstance(state, int) and 0 < state < len(STATES):
        told["state"] = STATES[state]


def _said(told: A2a, message: Fields) -> None:
    told["answered"] = "message"
    for key, number in _OF_MESSAGE.items():
        put(told, key, _text(message.get(number)))


def _artifact(told: A2a, update: Fields) -> None:
    _task(told, {number: update[number] for number in (_ID, _CONTEXT) if number in update})


_PAYLOADS: Mapping[int, Callable[[A2a, Fields], None]] = {
    1: _task,
    2: _said,
    3: _task,  # an update of its status
    4: _artifact,
}
