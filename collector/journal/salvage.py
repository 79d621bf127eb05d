"""Reads entries out of pages that SQLite does not use any more: the checksum of an entry tells whether it is one.

A table's leaf page holds cells of (length, key, record); what of a record finds no room goes on in a chain of overflow pages
(sqlite.org/fileformat2.html#b_tree_pages). Nothing here is believed that does not fit its own checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

from collector.journal.checksum import checked
from collector.messages.entry import Entry, Kind

_LEAF = 0x0D
_COLUMNS = 8  # position (as NULL), kind, source, sender, received_at, total_bytes, crc, payload
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # serial type → bytes
LARGEST = 1 << 30  # of a record: beyond, a length is damage

Page = Callable[[int], bytes | None]


def entries_in(pages: Iterable[bytes], page: Page) -> Iterator[Entry]:
    """The sound entries in these pages, in any order, maybe more than once. `page` gives those that a record goes on in."""
    for content in pages:
        if content[:1] == bytes([_LEAF]):
            for record, position in _cells(content, page):
                entry = _entry(record, position)
                if entry is not None:
                    yield entry


def _cells(content: bytes, page: Page) -> Iterator[tuple[bytes, int]]:
    (number,) = struct.unpack_from(">H", content, 3)
    for place in range(min(number, (len(content) - 8) // 2)):
        (at,) = struct.unpack_from(">H", content, 8 + 2 * place)
        try:
            size, at = _varint(content, at)
            key, at = _varint(content, at)
            if size <= LARGEST:
                yield _record(content, at, size, page), key
        except (IndexError, struct.error, ValueError):
            continue


def _record(content: bytes, at: int, size: int, page: Page) -> bytes:
    """The record's bytes. Raises ValueError: its chain is broken."""
    usable = len(content)
    if size <= usable - 35:
        return content[at : at + size]
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    local = local if local <= usable - 35 else least
    pieces, left = [content[at : at + local]], size - local
    (following,) = struct.unpack_from(">I", content, at + local)
    while left > 0:
        more = page(following) if following else None
        if more is None:
            raise ValueError("a page of the record is not there")
        pieces.append(more[4 : 4 + left])
        left -= len(more) - 4
        (following,) = struct.unpack_from(">I", more)
    return b"".join(pieces)


def _entry(record: bytes, position: int) -> Entry | None:
    try:
        values = _values(record)
    except (IndexError, ValueError):
        return None
    if len(values) != _COLUMNS or not isinstance(values[7], bytes) or not isinstance(values[2], bytes) or not isinstance(values[3], bytes):
        return None
    _, kind, source, sender, received_at, _, crc, payload = values
    entry = checked((position, kind, source, sender, received_at, crc, payload), 0)
    return entry if entry.kind is not Kind.DAMAGED else None


def _values(record: bytes) -> list[object]:
    """The columns; texts as bytes."""
    length, at = _varint(record, 0)
    kinds = []
    while at < length:
        kind, at = _varint(record, at)
        kinds.append(kind)
        if len(kinds) > _COLUMNS:
            raise ValueError("too many columns")
    values: list[object] = []
    for kind in kinds:
        if kind in (0, 8, 9):
            values.append({0: None, 8: 0, 9: 1}[kind])
            continue
        size = _INTEGERS[kind] if kind in _INTEGERS else (kind - 12) // 2
        data = record[at : at + size]
        if size < 0 or len(data) != size:
            raise ValueError("the record is cut")
        values.append(int.from_bytes(data, "big", signed=True) if kind in _INTEGERS else data)
        at += size
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(the number there, where it ends). Raises IndexError."""
    value = 0
    for place in range(9):
        byte = data[at + place]
        value = value << 8 | byte if place == 8 else value << 7 | byte & 0x7F
        if place == 8 or not byte & 0x80:
            return value - (1 << 64) if value >= 1 << 63 else value, at + place + 1
    raise IndexError
