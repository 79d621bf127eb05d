"""AWS's event streams (`application/vnd.amazon.eventstream`) out of a captured body: (event's type, payload, end), as for server-sent ones.

A message: its length and that of its headers, their CRC-32; the headers; the payload; the CRC-32 of all before. What has a wrong checksum
is not read, and where a message begins wrongly nothing behind it is. An exception or error is told as `{"error": {"type", …}}`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from zlib import crc32

import orjson

from collector.decode.json_text import NotJSONError, loads
from collector.decode.sse import LAST, Event
from collector.decode.values import mapping

_PRELUDE, _LEAST = 12, 16
_HEADERS, _MESSAGE = 128 << 10, (24 << 20) + (128 << 10) + 16  # at most, as AWS's own clients have it
_FIRST = 64  # headers of a message that are read; AWS sends three
_MAY_BEGIN = re.compile(rb"(?=[\0\1][\s\S]{3}\0[\0-\2])")
# The sizes of headers' values by their type; of 6 and 7 it is told: true, false, byte, short, integer, long, bytes, text, time, UUID.
_SIZES = (0, 0, 1, 2, 4, 8, None, None, 8, 16)
_NAMED_BY = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}
_BAD_START = "a message whose beginning is damaged: what is behind it is not read"
_BAD_SUM = "a message with a wrong checksum is not read"


def begins(data: bytes) -> bool:
    """Whether the bytes begin with a message's lengths and their checksum."""
    return bool(_length(memoryview(data), 0))


def events(body: bytes, limit: int, spoiled: Callable[[str], None] = lambda _: None) -> Iterator[Event]:
    """The messages of `body`. Of more than `limit`, those and the last few. `spoiled` is told what is not read, but not what was cut."""
    view = memoryview(body)
    last: deque[tuple[int, int]] = deque(maxlen=LAST)
    for number, (at, end) in enumerate(_messages(view, spoiled)):
        if number >= limit:
            last.append((at, end))
        elif event := _event(view[at:end], spoiled):
            yield *event, end
    for at, end in last:
        if event := _event(view[at:end], spoiled):
            yield *event, end


def count_is_over(body: bytes, limit: int) -> bool:
    """Whether messages beyond `limit` are left out."""
    most = limit + LAST
    return len(body) > most * _LEAST and any(number == most for number, _ in enumerate(_messages(memoryview(body), lambda _: None)))


def start(data: bytes) -> int:
    """Where the first whole message stands in bytes that begin anywhere; their length, if none does."""
    view = memoryview(data)
    for match in _MAY_BEGIN.finditer(data):
        at = match.start()
        if (length := _length(view, at)) and at + length <= len(view) and _is_whole(view[at : at + length]):
            return at
    return len(data)


def _messages(view: memoryview, spoiled: Callable[[str], None]) -> Iterator[tuple[int, int]]:
    """Where each message begins and ends."""
    at = 0
    while length := _length(view, at):
        if at + length > len(view):
            return
        yield at, at + length
        at += length
    if len(view) - at >= _PRELUDE:
        spoiled(_BAD_START)


def _length(view: memoryview, at: int) -> int:
    """The length of the message that begins there; 0 if none does."""
    prelude = view[at : at + _PRELUDE]
    if len(prelude) < _PRELUDE or crc32(prelude[:8]) != _number(prelude[8:]):
        return 0
    length, headers = _number(prelude[:4]), _number(prelude[4:8])
    return length if headers <= _HEADERS and headers + _LEAST <= length <= _MESSAGE else 0


def _is_whole(message: memoryview) -> bool:
    return crc32(message[:-4]) == _number(message[-4:])


def _number(data: memoryview) -> int:
    return int.from_bytes(data, "big")


def _event(message: memoryview, spoiled: Callable[[str], None]) -> tuple[bytes, bytes] | None:
    if not _is_whole(message):
        spoiled(_BAD_SUM)
        return None
    end = _PRELUDE + _number(message[4:8])
    headers = dict(_headers(message[_PRELUDE:end]))
    kind = headers.get(":message-type", "event")
    if kind not in _NAMED_BY:
        return None
    name, payload = headers.get(_NAMED_BY[kind], ""), bytes(message[end:-4])
    if kind == "event":
        return name.encode(), payload
    return b"error", orjson.dumps({"error": {"message": headers.get(":error-message")} | _object(payload) | {"type": name}})


def _object(payload: bytes) -> dict[str, object]:
    try:
        said = mapping(loads(payload)).get("message")
    except NotJSONError:
        return {}
    return {"message": said} if isinstance(said, str) else {}


def _headers(data: memoryview) -> Iterator[tuple[str, str]]:
    """The first headers, as far as they are texts: what is none ends them."""
    at = 0
    for _ in range(_FIRST):
        if at >= len(data):
            return
        name = _text(data, at + 1, data[at])
        at += 1 + data[at]
        kind = data[at] if at < len(data) else -1
        if not 0 <= kind < len(_SIZES):
            return
        size = _SIZES[kind]
        at += 1
        if size is None:
            size = _number(data[at : at + 2])
            at += 2
            if kind == 7:
                yield name, _text(data, at, size)
        at += size


def _text(data: memoryview, at: int, size: int) -> str:
    return bytes(data[at : at + size]).decode("utf-8", "replace")
