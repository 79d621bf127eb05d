"""A look at a large message's bytes before it is parsed: two bytes can stand for an empty message that takes a hundred in memory.

Small ones, as the filter and Envoy send by default, are parsed first and looked at then (shape.py): what they can cost is bounded by their
size. A large one is walked through, field by field, and only until there is one too many.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.errors import BadInputError

SMALL_BYTES = 512 << 10  # twice the filter's batch_bytes
REST_BYTES = 128 << 10  # of a large batch, besides its parts
MAX_RUNS = 4096  # runs of body chunks in one part
_PART, _RUN = 5, 12  # messages/tap.proto
_LOGS, _LOG_ENTRY = (2, 3), 1  # envoy/service/accesslog/v3/als.proto
_LENGTH_DELIMITED = 2


class ExcessError(BadInputError):
    """It holds more of something than any proxy sends: it is refused before it costs what that would take."""


def check_batch(payload: bytes, max_parts: int) -> None:
    """Raises ExcessError for a tap batch with too many parts, runs in one, or too much besides."""
    if len(payload) <= SMALL_BYTES:
        return
    parts, rest = 0, 0
    for number, start, end in walk(payload, 0, len(payload)):
        if number != _PART:
            rest += end - start + 2
            at_most(rest, REST_BYTES, "bytes besides the parts")
            continue
        parts += 1
        at_most(parts, max_parts, "parts or more (ingest.max_batch_parts)")
        if end - start > 2 * MAX_RUNS:
            _count(payload, start, end, _RUN, 0, MAX_RUNS, "runs or more in one part")


def check_log_message(payload: bytes, max_entries: int) -> None:
    """Raises ExcessError for a log message with too many entries."""
    if len(payload) <= SMALL_BYTES:
        return
    entries = 0
    for number, start, end in walk(payload, 0, len(payload)):
        if number in _LOGS:
            entries = _count(payload, start, end, _LOG_ENTRY, entries, max_entries, "entries or more (ingest.max_batch_parts)")


def at_most(number: int, limit: int, what: str) -> None:
    """Raises ExcessError."""
    if number > limit:
        raise ExcessError(f"there are {number} {what}, at most {limit} are expected")


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


def _count(data: bytes, at: int, end: int, wanted: int, count: int, limit: int, what: str) -> int:
    for number, _, _ in walk(data, at, end):
        if number == wanted:
            count += 1
            at_most(count, limit, what)
    return count


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
