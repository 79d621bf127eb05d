"""The raw topic as the brokers describe it: what a journal needs to know before it begins."""

from __future__ import annotations

from typing import NamedTuple

from collector.errors import RetryableError, SettingsError
from collector.journal.kafka_records import OVERHEAD
from collector.kafka.topics import existing, missing
from collector.settings import Ingest, Kafka


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
