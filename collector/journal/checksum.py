"""The checksum that an entry is stored with, and what becomes of an entry that does not fit it.

Entries from memory are not checked, only those read from the file: disks and people damage files. What does not fit comes back as
Kind.DAMAGED with its bytes as read, so that it is known and set aside while everything behind it goes on.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from collector.messages.entry import Entry, Kind

_HEAD = struct.Struct(">qqqI")
_KINDS = {int(kind): kind for kind in Kind}


def checksum(position: int, kind: int, source: bytes, sender: bytes, received_at: int, payload: bytes) -> int:
    """CRC-32 over all that an entry is."""
    head = _HEAD.pack(position, kind, received_at, len(source)) + source + sender
    return zlib.crc32(payload, zlib.crc32(head))


def checked(row: tuple[Any, ...], before_us: int) -> Entry:
    """The entry of a row (position, kind, source, sender, received_at, crc, payload), texts as bytes, whatever became of its columns.

    What is damaged counts as received when the good entry before it was: its own time may say anything.
    """
    position, kind, source, sender, received_at, crc, payload = row
    try:
        fits = crc == checksum(position, kind, source, sender, received_at, payload)
    except (TypeError, struct.error):  # a column is not of its type any more
        fits = False
    if fits and kind in _KINDS:
        return Entry(position, _KINDS[kind], source.decode(), received_at, payload, None, sender.decode())
    why = f"the entry at position {position} " + ("is of no known kind" if fits else "does not fit its checksum")
    data = payload if isinstance(payload, bytes) else b""
    return Entry(position, Kind.DAMAGED, text(source), before_us, data, why, text(sender))


def unreadable(first: int, last: int, before_us: int) -> Entry:
    """In place of the entries at these positions, of which nothing can be read."""
    which = f"entry at position {first}" if first == last else f"entries at positions {first} to {last}"
    return Entry(last, Kind.DAMAGED, "", before_us, b"", f"the {which} cannot be read", "")


def text(value: object) -> str:
    """A column as far as it is one; empty where it is not."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
