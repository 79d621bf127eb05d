"""Makes a conversation of a record and the stored bodies. Pure; nothing that a body holds makes it fail."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import cast

from collector.conversation import answered, asked, tables
from collector.conversation.document import Conversation, Link, Message, Part, Values
from collector.conversation.missing import words
from collector.conversation.room import Room
from collector.conversation.stored import Side, open_stored
from collector.decode.reading import Reading
from collector.decode.values import Object, mapping, text
from collector.messages.inference import ProtocolName

_V1_ASKED, _V1_ANSWERED = ("instances", "inputs"), ("predictions", "outputs", "explanations")
_TENSORS = ("infer", "infer_stream", "explain")
_NO_RIGHT = "Who asks may not see texts: what was said is not shown."
# What a fault of ours can raise on bytes that nobody thought of.
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_Open = dict[str, deque[tuple[Link, Part]]]


def conversation(record: Object, request: Side, response: Side) -> Conversation:
    """What was said. `record` as it is stored, whatever version wrote it."""
    inference = mapping(record.get("inference"))
    told: Conversation = {"exchange": text(record.get("id")) or ""}
    if type(revision := record.get("revision")) is int:
        told["revision"] = revision
    if protocol := text(inference.get("protocol")):
        told["protocol"] = cast(ProtocolName, protocol)
    if operation := text(inference.get("operation")):
        told["operation"] = operation
    if model := text(inference.get("model_answered")) or text(inference.get("model_requested")):
        told["model"] = model
    told["messages"] = []
    problems: list[str] = []
    room = Room(problems)
    try:
        _read(told, open_stored(record, request, response, (), problems).reading, inference, room)
    except _FAULTS as error:
        room.problem(f"not all could be read: {type(error).__name__}")  # not the error's text: it may hold what was in a body
    told["missing"] = words(record, (request, response))
    if problems:
        told["problems"] = problems
    return told


def without_texts(told: Conversation) -> Conversation:
    """The same for who may not see texts: who spoke, how long it was and what tools were called stays."""
    bare = {key: value for key, value in told.items() if key in ("exchange", "revision", "protocol", "operation", "model")}
    shown = cast(Conversation, bare)
    shown["messages"] = [_without(message) for message in told["messages"]]
    for side in ("inputs", "outputs"):
        if side in told:
            shown[side] = [cast(Values, {k: v for k, v in each.items() if k in ("datatype", "shape")}) for each in told[side]]
    if "rpc" in told:
        shown["rpc"] = [{"side": each["side"]} for each in told["rpc"]]
    shown["missing"] = [_NO_RIGHT, *told["missing"]]
    return shown


def _without(message: Message) -> Message:
    kept = cast(Message, {key: value for key, value in message.items() if key not in ("parts", "name")})
    kept["parts"] = [
        {key: value for key, value in part.items() if key in ("kind", "size", "content_type", "link", "failed")}  # type: ignore[misc]
        for part in message["parts"]
    ]
    return kept


def _read(told: Conversation, reading: Reading, inference: Object, room: Room) -> None:
    protocol, operation = told.get("protocol", "unknown"), told.get("operation", "")
    if protocol == "mcp":
        told["rpc"] = answered.rpc(reading, room)
        return
    if asked.is_socket(inference):
        body: object = asked.over_socket(reading, room)
    else:
        body = reading.asked if reading.request.starts_as_json and protocol != "kserve-v2-grpc" else None
    if protocol in ("kserve-v2", "kserve-v2-grpc") and operation in _TENSORS:
        _tensors(told, reading, inference, body, room)
    elif protocol == "kserve-v1":
        _rows(told, reading, body, room)
    else:
        _said(told, reading, protocol, inference, body, room)
    told["messages"] += answered.messages(inference, room)
    if not told["messages"] and not told.get("outputs"):
        told["messages"] += answered.plain(reading, room)
    _pair(told["messages"])


def _said(told: Conversation, reading: Reading, protocol: str, inference: Object, body: object, room: Room) -> None:
    told["messages"] += asked.messages(protocol, body, room)
    if tools := asked.tools(body, room):
        told["tools"] = tools
    for side in ("inputs", "outputs"):
        if shapes := tables.tensors(None, inference.get(side), Room([])):
            told[side] = shapes
    if not inference.get("choices") and not inference.get("error") and not told.get("outputs"):
        told["messages"] += answered.plain(reading, room)


def _tensors(told: Conversation, reading: Reading, inference: Object, body: object, room: Room) -> None:
    if inputs := tables.tensors(mapping(body).get("inputs"), inference.get("inputs"), room):
        told["inputs"] = inputs
    is_json = reading.response.starts_as_json and not reading.streamed and bool(reading.response.data)
    answer = mapping(reading.answer) if is_json else {}
    if outputs := tables.tensors(answer.get("outputs"), inference.get("outputs"), room):
        told["outputs"] = outputs


def _rows(told: Conversation, reading: Reading, body: object, room: Room) -> None:
    if inputs := tables.rows(body, _V1_ASKED, room):
        told["inputs"] = inputs
    answer = reading.answer if reading.response.starts_as_json and not reading.streamed else None
    if outputs := tables.rows(answer, _V1_ANSWERED, room):
        told["outputs"] = outputs


def _pair(messages: Sequence[Message]) -> None:
    """Sets `link` of each tool's call and its result: by the call's id, else by the tool's name in the order of calls. A result answers a
    call that stands before it and has no result yet.
    """
    by_id: _Open = defaultdict(deque)
    by_name: _Open = defaultdict(deque)
    for number, message in enumerate(messages):
        for place, part in enumerate(message["parts"]):
            here: Link = {"message": number, "part": place}
            if part["kind"] == "tool_call":
                by_name[part.get("name", "")].append((here, part))
                if "id" in part:
                    by_id[part["id"]].append((here, part))
            elif part["kind"] == "tool_result":
                _answers(by_id[part["id"]] if "id" in part else by_name[part.get("name", "")], here, part)


def _answers(waiting: deque[tuple[Link, Part]], here: Link, result: Part) -> None:
    while waiting:
        there, call = waiting.popleft()
        if "link" not in call:
            call["link"], result["link"] = here, there
            if "name" in call:
                result.setdefault("name", call["name"])
            return
