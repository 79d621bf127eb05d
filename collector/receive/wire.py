"""A look at a message's bytes before they are parsed: two bytes can stand for an empty message that takes a hundred in memory.

What could not hold too many is not looked at: by its size, or by counting the byte that each of them begins with. Only what is left is
walked through, field by field, and only until there is one too many.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.errors import BadInputError

REST_BYTES = 128 << 10  # of a batch, besides its parts
MAX_RUNS = 65_536  # runs of body chunks in a batch
_PART, _RUN = 5, 12  # messages/tap.proto
_LOGS, _LOG_ENTRY = (2, 3), 1  # envoy/service/accesslog/v3/als.proto
_LENGTH_DELIMITED = 2


class ExcessError(BadInputError):
    """It holds more of something than any proxy sends: it is refused before it costs what that would take."""


def check_batch(payload: bytes, max_parts: int) -> None:
    """Raises ExcessError for a tap batch with too many parts, runs, or too much besides."""
    size = len(payload)
    if size > REST_BYTES or _may_hold(payload, _PART, max_parts):
        _check_parts(payload, max_parts)
    if _may_hold(payload, _RUN, MAX_RUNS):
        runs = 0
        for number, start, end in walk(payload, 0, size):
            if number == _PART:
                runs = _counted(payload, start, end, _RUN, runs, MAX_RUNS, "runs of body chunks")


def check_log_message(payload: bytes, max_entries: int) -> None:
    """Raises ExcessError for a log message with too many entries."""
    if _may_hold(payload, _LOG_ENTRY, max_entries):
        entries = 0
        for number, start, end in walk(payload, 0, len(payload)):
            if number in _LOGS:
                entries = _counted(payload, start, end, _LOG_ENTRY, entries, max_entries, "entries", " (ingest.max_batch_parts)")


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields with a length: (number, start, end). Ends where the bytes make no sense; the parser says why.

    Groups, which nobody sends, are walked through as if they were none.
    """
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, start = _varint(data, at, end)
            at = start + length
            if at > end:
                return
            yield tag >> 3, start, at
        elif kind == 0:
            at = _varint(data, at, end)[1]
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4


def _check_parts(payload: bytes, max_parts: int) -> None:
    parts, rest = 0, len(payload)
    for number, start, end in walk(payload, 0, len(payload)):
        if number == _PART:
            parts += 1
            rest -= end - start
        if parts > max_parts:
            raise ExcessError(f"the batch has more than {max_parts} parts (ingest.max_batch_parts)")
    if rest - 16 * parts > REST_BYTES:
        raise ExcessError(f"the batch has {rest} bytes besides its parts, at most {REST_BYTES} are expected")


def _counted(data: bytes, at: int, end: int, wanted: int, count: int, limit: int, what: str, setting: str = "") -> int:
    for number, _, _ in walk(data, at, end):
        if number == wanted:
            count += 1
            if count > limit:
                raise ExcessError(f"the message has more than {limit} {what}{setting}")
    return count


def _may_hold(payload: bytes, number: int, limit: int) -> bool:
    """Whether more than `limit` fields of this number could be in it: each takes two bytes, and its tag is one of two."""
    if len(payload) <= 2 * limit:
        return False
    tag = number << 3 | _LENGTH_DELIMITED
    return payload.count(tag) + payload.count(tag | 0x80) > limit


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends); (0, end) where it does not end, which ends the walk."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, end
