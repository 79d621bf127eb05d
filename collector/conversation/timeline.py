"""The stream of an answer with the time of each of its events, out of the record, the stored body and the times of its chunks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from collector.conversation.missing import words
from collector.conversation.pieces import piece
from collector.conversation.room import Room
from collector.conversation.stored import Side, Stored, open_stored
from collector.conversation.timeline_document import Gaps, Moment, Stall, StreamEvent, StreamPart, Timeline, WhatName
from collector.decode.form import GRPC
from collector.decode.grpc import messages as grpc_messages
from collector.decode.json_text import NotJSONError, loads
from collector.decode.routes import is_websocket
from collector.decode.timing import arrivals
from collector.decode.values import Object, items, mapping, text
from collector.decode.websocket import Reader
from collector.messages.chunk_times import unpack

EVENTS = 65_536  # that are shown
STALL_FACTOR, STALL_LEAST_MS = 10, 250.0
STALLS = 1000
_NO_TIMES = "The times of the answer's chunks are not stored."
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
Times = Sequence[tuple[int | None, int | None, int]]


def timeline(record: Object, response: Side, chunk_times: str | None, with_texts: bool = True) -> Timeline:
    """`chunk_times`: the extension of the response's event, as it is stored; None: it has none."""
    told: Timeline = {"exchange": text(record.get("id")) or ""}
    if type(revision := record.get("revision")) is int:
        told["revision"] = revision
    if start := text(record.get("start")):
        told["start"] = start
    if (duration := _number(record.get("duration_ms"))) is not None:
        told["duration_ms"] = duration
    tokens = mapping(mapping(record.get("usage")).get("completion_tokens")).get("value")
    if type(tokens) is int:
        told["tokens"] = tokens
    problems: list[str] = []
    times, said = _times(record, chunk_times, problems)
    told["parts"] = [_part(*each) for each in times]
    told["events"], contents = [], list[int]()
    try:
        told["events"], contents = _events(record, response, times, with_texts, problems)
    except _FAULTS as error:
        problems.append(f"not all could be read: {type(error).__name__}")
    _tell_gaps(told, contents)
    told["moments"] = _moments(record, told, contents)
    told["missing"] = [*said, *words(record, (response,))]
    if problems:
        told["problems"] = problems
    return told


def _times(record: Object, packed: str | None, problems: list[str]) -> tuple[Times, list[str]]:
    """The chunks' times, and what is to be said of them. An answer of one chunk has the time of its first byte."""
    if packed is not None:
        try:
            return unpack(packed), []
        except ValueError as error:
            problems.append(str(error))
            return [], [_NO_TIMES]
    timing, body = mapping(record.get("timing")), mapping(mapping(record.get("response")).get("body"))
    first, size = _number(timing.get("first_byte_ms")), body.get("captured")
    if timing.get("chunks") == 1 and first is not None:
        return [(0, size, round(first * 1000)) if type(size) is int else (None, None, round(first * 1000))], []
    return [], [_NO_TIMES] if timing.get("chunks") else []


def _part(offset: int | None, length: int | None, at_us: int) -> StreamPart:
    part: StreamPart = {"at_ms": at_us / 1000}
    if offset is not None and length is not None:
        part["offset"], part["length"] = offset, length
    return part


def _events(record: Object, response: Side, times: Times, with_texts: bool, problems: list[str]) -> tuple[list[StreamEvent], list[int]]:
    """The events, and the numbers of those with content."""
    known = [(offset, length, at) for offset, length, at in times if offset is not None and length]
    known = sorted(known) if response.encoded else []
    opened = open_stored(record, Side("request"), response, [offset + length for offset, length, _ in known], problems)
    room = Room(problems)
    found: list[StreamEvent] = []
    contents: list[int] = []
    before = 0
    for kind, said, end in _frames(opened, problems):
        if len(found) == EVENTS:
            room.problem(f"there are more than {EVENTS} events: the rest is not shown")
            break
        event: StreamEvent = {"offset": before, "length": end - before, "kind": kind}  # type: ignore[typeddict-item]
        if kind != "other":
            contents.append(len(found))
            if said and with_texts:
                event["text"] = room.text(said)[0]
        found.append(event)
        before = end
    ends = [event["offset"] + event["length"] for event in found]
    for event, at in zip(found, arrivals(ends, opened.ends, [at / 1000 for _, _, at in known]), strict=False):
        event["at_ms"] = at
    return found, contents


def _frames(opened: Stored, problems: list[str]) -> Iterator[tuple[str, str, int]]:
    """(kind, text, end) of each event of a stream, of each message of gRPC."""
    reading = opened.reading
    if not reading.response.data:
        return
    if reading.response.form is GRPC:
        coding = reading.response.headers.get("grpc-encoding", "")
        for _, end in grpc_messages(reading.response.data, coding, reading.limits, problems):
            yield "message", "", end
        return
    if is_websocket(reading.captured.method, reading.request.headers, reading.captured.status):
        for message in Reader(reading.limits, problems.append).feed(reading.captured.response_body):
            yield (*_piece(b"", message.data), message.end)
    elif reading.streamed:
        for name, data, end in reading.frames():
            yield (*_piece(name, data), end)


def _piece(name: bytes, data: bytes) -> tuple[str, str]:
    """Kind and text of an event."""
    try:
        event = loads(data)
    except NotJSONError:
        return "other", ""
    if not isinstance(event, dict):
        return "other", ""
    if name and "type" not in event:
        event["type"] = name.decode("utf-8", "replace")
    found = piece(event)
    return found.kind if found.text else "other", found.text


def _tell_gaps(told: Timeline, contents: Sequence[int]) -> None:
    told["stalls"] = []
    moments = [(number, told["events"][number]["at_ms"]) for number in contents if "at_ms" in told["events"][number]]
    if len(moments) < 2:
        return
    waits = [(later - earlier, number) for (number, earlier), (_, later) in pairwise(moments)]
    sizes = sorted(wait for wait, _ in waits)
    median = sizes[(len(sizes) + 1) // 2 - 1]
    stall = max(STALL_FACTOR * median, STALL_LEAST_MS)
    gaps: Gaps = {
        "count": len(sizes),
        "median_ms": round(median, 3),
        "p95_ms": round(sizes[-(-len(sizes) * 95 // 100) - 1], 3),
        "max_ms": round(sizes[-1], 3),
        "stall_ms": round(stall, 3),
    }
    told["gaps"] = gaps
    at = dict(moments)
    long = [(wait, number) for wait, number in waits if wait >= stall][:STALLS]
    told["stalls"] = [_stall(at[number], wait, number) for wait, number in long]


def _stall(from_ms: float, wait: float, after: int) -> Stall:
    return {"from_ms": from_ms, "to_ms": round(from_ms + wait, 3), "after": after}


def _moments(record: Object, told: Timeline, contents: Sequence[int]) -> list[Moment]:
    timing, flags = mapping(record.get("timing")), items(record.get("completeness"))
    named: list[tuple[WhatName, object]] = [
        ("upstream_first_byte", timing.get("upstream_first_byte_ms")),
        ("first_byte", timing.get("first_byte_ms")),
        ("first_token", timing.get("first_token_ms")),
    ]
    if contents:
        named.append(("last_token", told["events"][contents[-1]].get("at_ms")))
    end: WhatName = "client_left" if "client_aborted" in flags else "upstream_reset" if "upstream_reset" in flags else "end"
    named.append((end, told.get("duration_ms")))
    moments: list[Moment] = [{"what": what, "at_ms": at} for what, value in named if (at := _number(value)) is not None]
    return sorted(moments, key=lambda moment: moment["at_ms"])


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
