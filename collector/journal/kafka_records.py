"""An entry as a record of the raw topic: key = the proxy's node id, value = the payload as it came, the rest in one header.

The header `entry` holds version (u8), kind (u8), received_at (i64, µs since the epoch), the writer's number (u32) and what had passed for
it (i64, µs since some moment of its own), and the sender with its length (u16) before it, big-endian. A record that has none is not one
of ours: it takes its offset, and is passed over. position = offset + 1. Kafka has a checksum of its own over it all.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from collector.messages.entry import Entry, Kind

VERSION = 3
OVERHEAD = 512  # bytes of a batch and a record around key and value
_NAME = "entry"
_SHAPE = struct.Struct(">BBqIqH")
_KINDS = {int(kind): kind for kind in Kind}


class Stamp(NamedTuple):
    """When a record was written, by its writer's clocks. `writer`: its number, never 0."""

    received_at: int
    writer: int
    elapsed_us: int


def key_of(source: str) -> bytes:
    """The record's key: it decides on the partition, so that all of one proxy is in one journal."""
    return source.encode("utf-8", "surrogatepass")


def headers_of(kind: Kind, stamp: Stamp, sender: str = "") -> list[tuple[str, bytes]]:
    """The record's headers."""
    told = sender.encode()
    return [(_NAME, _SHAPE.pack(VERSION, kind, *stamp, len(told)) + told)]


def mark_of(entry: Entry) -> str:
    """By what an entry is known from any other that takes its place later."""
    return f"{entry.received_at}-{entry.writer}-{entry.elapsed_us}"


def is_ours(record: Any) -> bool:
    """Whether a Meshscribe wrote it, be it one of another version."""
    return any(name == _NAME for name, _ in record.headers)


def entry_of(record: Any) -> Entry | None:
    """The entry of an aiokafka ConsumerRecord; None if it is not one of ours, or of another version."""
    packed = next((value for name, value in record.headers if name == _NAME), None)
    if packed is None or len(packed) < _SHAPE.size:
        return None
    version, kind, at, writer, elapsed, length = _SHAPE.unpack_from(packed)
    told = packed[_SHAPE.size :]
    if version != VERSION or kind not in _KINDS or len(told) != length:
        return None
    try:
        source = (record.key or b"").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    sender = told.decode("utf-8", "replace")
    return Entry(record.offset + 1, _KINDS[kind], source, at, record.value or b"", None, sender, writer, elapsed)
