"""A look at a message's bytes before it is parsed: two bytes can stand for an empty message that takes a hundred in memory.

The outermost fields are walked through, and only until there is one too many: a sixth of a microsecond for each part, which costs a
hundred times that later. Inside of the parts so does who looks closely: at large messages, and at compressed ones, whose bytes cost their
sender next to nothing. What small ones can cost otherwise is bounded by their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from collector.errors import BadInputError

MAX_NODE_BYTES = 64 << 10  # of what a proxy tells of itself
MAX_LABELS = 256
REST_BYTES = 16 << 10  # of a batch, besides its node and its parts
MAX_RUNS = 4096  # runs of body chunks in one part
MAX_LISTS = 1024  # fields of a log message: a proxy sends its node once, and one list of entries
LEAST_BYTES = 16  # of a part or an entry, where there are many: its start alone takes ten
FEW = 16
LEAST_RUN = 8  # bytes: a chunk has a length and a time
_OTHERS = 64  # fields of a message besides the ones that are counted
SMALL_BYTES = 512 << 10  # twice the filter's batch_bytes
_NODE, _PART, _RUN, _LABEL = 1, 5, 12, 5  # messages/tap.proto
_LOGS, _LOG_ENTRY = (2, 3), 1  # envoy/service/accesslog/v3/als.proto
_LENGTH_DELIMITED = 2


class ExcessError(BadInputError):
    """It holds more of something than any proxy sends: it is refused before it costs what that would take."""


def check_batch(payload: bytes, max_parts: int, closely: bool = True) -> int:
    """The bytes of the longest part. Raises ExcessError for a tap batch with too many parts, or labels, or too much besides; `closely`: or
    runs.
    """
    parts = node = rest = longest = 0
    most = _most(len(payload), max_parts)
    for number, start, end in walk(payload, 0, len(payload)):
        if number == _PART:
            parts += 1
            if parts > most:
                _refuse_many(most, max_parts, "parts")
            if end - start > longest:
                longest = end - start
            if closely:
                _check_inside(payload, start, end, _RUN, min(MAX_RUNS, (end - start) // LEAST_RUN), "runs or more in one part")
        elif number == _NODE:
            node += end - start + 2
            at_most(node, MAX_NODE_BYTES, "bytes or more in node")
            if node > 2 * MAX_LABELS:
                _check_inside(payload, start, end, _LABEL, MAX_LABELS, "labels or more in node.labels")
        else:
            rest += end - start + 2
            at_most(rest, REST_BYTES, "bytes or more besides node and parts")
    return longest


def check_log_message(payload: bytes, max_entries: int, closely: bool = True) -> None:
    """Raises ExcessError for a log message with too many lists; `closely`: or entries, which else are counted when it is parsed."""
    entries = 0
    most = _most(len(payload), max_entries)
    for lists, (number, start, end) in enumerate(walk(payload, 0, len(payload)), 1):
        at_most(lists, MAX_LISTS, "fields or more")
        if closely and number in _LOGS:
            for _ in walk(payload, start, end):  # they hold nothing but entries
                entries += 1
                if entries > most:
                    _refuse_many(most, max_entries, "entries")


def check_entries(entries: int, size: int, max_entries: int) -> None:
    """Raises ExcessError for a log message of so many bytes with too many entries."""
    most = _most(size, max_entries)
    if entries > most:
        _refuse_many(most, max_entries, "entries")


def _most(size: int, limit: int) -> int:
    """Parts or entries that a message of so many bytes may hold."""
    return min(limit, FEW + size // LEAST_BYTES)


def _refuse_many(most: int, limit: int, what: str) -> NoReturn:
    if most < limit:
        raise ExcessError(f"there are more {what} than {most}: each takes {LEAST_BYTES} bytes at least")
    raise ExcessError(f"there are {most + 1} {what} or more, at most {limit} are expected (ingest.max_batch_parts)")


def at_most(number: int, limit: int, what: str) -> None:
    """Raises ExcessError."""
    if number > limit:
        raise ExcessError(f"there are {number} {what}, at most {limit} are expected")


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields: (number, start, end). Ends where the bytes make no sense; the parser says why.

    Groups, which nobody sends, are walked through as if they were none.
    """
    while at < end:
        tag = data[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = _varint(data, at, end)
        kind, start = tag & 7, at
        if kind == _LENGTH_DELIMITED:
            if at < end and (length := data[at]) < 0x80:
                start += 1
            elif at + 1 < end and (high := data[at + 1]) < 0x80:  # nearly all: of two bytes, for which a call costs more than the rest
                length, start = length & 0x7F | high << 7, at + 2
            elif at + 2 < end and (top := data[at + 2]) < 0x80:  # and those with bodies: of three
                length, start = length & 0x7F | (high & 0x7F) << 7 | top << 14, at + 3
            else:
                length, start = _varint(data, at, end)
            at = start + length
        elif kind == 0:
            at = _varint(data, at, end)[1]
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        if at > end:
            return
        yield tag >> 3, start, at


def _check_inside(data: bytes, at: int, end: int, wanted: int, limit: int, what: str) -> None:
    """Raises ExcessError where the message in [at, end) has more than `limit` of the field, or too many others."""
    count = 0
    for others, (number, _, _) in enumerate(walk(data, at, end), 1 - limit):
        count += number == wanted
        if count > limit or others > _OTHERS:
            raise ExcessError(f"there are {max(count, limit + 1)} {what}, at most {limit} are expected")


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
