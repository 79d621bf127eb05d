"""What was answered: the choices of the record, which decode put together of streams too; of other protocols what the body says. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from collector.conversation.document import Message, Part, Rpc, SideName
from collector.conversation.parts import call, said
from collector.conversation.room import Room, short
from collector.decode.json_rpc import BATCH
from collector.decode.reading import Reading
from collector.decode.values import Object, items, mapping, objects

_ENTRIES = 1024


def messages(inference: Object, room: Room) -> list[Message]:
    """A message for each choice, and one for the error."""
    found = [_choice(choice, room) for choice in room.take(objects(inference.get("choices")), "choices")]
    if error := mapping(inference.get("error")):
        told: Message = {"side": "response", "role": "error", "parts": [said("text", error.get("message") or error, room)]}
        found.append(told)
    return found


def plain(reading: Reading, room: Room) -> list[Message]:
    """An answer in which decode found no text: its JSON as it is. None for streams, and for what is no JSON."""
    if not reading.response.data or reading.streamed or not reading.response.starts_as_json:
        return []
    answer = reading.answer
    if not isinstance(answer, dict | list):
        return []
    return [{"side": "response", "role": "answer", "parts": [said("other", answer, room)]}]


def rpc(reading: Reading, room: Room) -> list[Rpc]:
    """The JSON-RPC messages of both bodies, each answer with the request that it answers."""
    found: list[Rpc] = []
    asked: dict[str, int] = {}
    for side, message in _sent(reading):
        if len(found) >= _ENTRIES:
            room.problem(f"there are more than {_ENTRIES} messages: the rest is not shown")
            break
        entry = _entry(side, message, room)
        if side == "request" and "id" in entry and "method" in entry:
            asked.setdefault(entry["id"], len(found))
        elif side == "response" and "method" not in entry and entry.get("id") in asked:
            entry["answers"] = asked[entry["id"]]
        found.append(entry)
    return found


def _choice(choice: Object, room: Room) -> Message:
    parts: list[Part] = []
    for member, kind in (("reasoning", "reasoning"), ("text", "text"), ("refusal", "refusal")):
        if choice.get(member):
            parts.append(said(kind, choice[member], room))  # type: ignore[arg-type]
    calls = room.take(objects(choice.get("tool_calls")), "tool calls")
    parts += [call(each.get("id"), each.get("name"), each.get("arguments"), room) for each in calls]
    message: Message = {"side": "response", "role": short(choice.get("role")) or "assistant"}
    if type(index := choice.get("index")) is int:
        message["choice"] = index
    if reason := short(choice.get("finish_reason")):
        message["finish_reason"] = reason
    message["parts"] = parts
    return message


def _sent(reading: Reading) -> Iterator[tuple[SideName, Object]]:
    request, response = reading.request, reading.response
    if request.starts_as_json:
        for message in _objects(reading.asked):
            yield "request", message
    if not response.data:
        return
    if not reading.streamed:
        for message in _objects(reading.answer) if response.starts_as_json else ():
            yield "response", message
        return
    for _, data, _ in reading.frames():
        value = reading.json(response, data) if data[:1] in (b"[", b"{") else None
        for message in _objects(value):
            yield "response", message


def _objects(value: object) -> list[Object]:
    return [value] if isinstance(value, dict) else objects(items(value)[:BATCH])


def _entry(side: SideName, message: Object, room: Room) -> Rpc:
    entry: Rpc = {"side": side}
    if (identity := short(message.get("id"))) is not None:
        entry["id"] = identity
    if (method := short(message.get("method"))) is not None:
        entry["method"] = method
    for member in ("params", "result", "error"):
        if message.get(member) is not None:
            entry[member], cut = room.json(message[member])
            if cut:
                entry["cut"] = True
    return entry
