"""The raw topic: what a journal needs to know of it before it begins, and an entry as one of its records.

A record's key is the proxy's node id, its value the payload as it came; the rest is in one header. The header `entry` holds version (u8),
kind (u8), received_at (i64, µs since the epoch), the writer's number (u32) and what had passed for it (i64, µs since some moment of its
own), and the sender with its length (u16) before it, big-endian. A record that has none is not one of ours: it takes its offset, and is
passed over. position = offset + 1. Kafka has a checksum of its own over it all.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from collector.errors import RetryableError, SettingsError
from collector.kafka.topics import existing, missing
from collector.messages.entry import Entry, Kind
from collector.settings import Ingest, Kafka

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

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


def is_ours(record: ConsumerRecord) -> bool:
    """Whether a Meshscribe wrote it, be it one of another version."""
    return any(name == _NAME for name, _ in record.headers)


def entry_of(record: ConsumerRecord) -> Entry | None:
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


class RawTopic(NamedTuple):
    """`record_bytes` is its max.message.bytes; `checkpoint_partitions` are those of the topic of checkpoints."""

    name: str
    cluster: str
    partitions: int
    record_bytes: int
    checkpoint_partitions: int

    def journal(self, partition: int) -> str:
        """The id of the journal that this partition is."""
        return f"kafka:{self.cluster}/{self.name}/{partition}"


async def find_raw_topic(settings: Kafka) -> RawTopic:
    """Raises RetryableError: Kafka does not answer; SettingsError: a topic is missing."""
    names = [settings.raw_topic, settings.checkpoints_topic]
    cluster, found = await existing(settings, names)
    if faults := missing(names, found):
        raise SettingsError(faults)
    raw, checkpoints = (found[name] for name in names)
    if not raw.record_bytes:
        raise RetryableError("Kafka does not tell the raw topic's max.message.bytes")
    return RawTopic(settings.raw_topic, cluster, raw.partitions, raw.record_bytes, checkpoints.partitions)


def check_ingest(topic: RawTopic, ingest: Ingest) -> None:
    """That the largest batch fits into a record: one that a broker refuses would block its partition. Raises SettingsError."""
    room = topic.record_bytes - 2 * OVERHEAD - 4096  # a node id has at most 1024 characters
    if ingest.max_batch_bytes > room:
        raise SettingsError(
            [
                f"ingest.max_batch_bytes: {ingest.max_batch_bytes} is more than topic {topic.name} takes (its max.message.bytes is"
                f" {topic.record_bytes}): lower it to {room}, or raise the topic's max.message.bytes"
            ]
        )
