"""Whether every entry of the raw topic can be read: Kafka's checksum covers them, but no broker compares it before somebody reads."""

from __future__ import annotations

from collections.abc import Callable

from aiokafka import TopicPartition

from collector.clock import SystemClock
from collector.journal.kafka_reader import PartitionReader
from collector.journal.kafka_topic import find_raw_topic
from collector.settings import Kafka
from collector.upkeep.verify import EXAMPLES, Finding

CHECK = "raw topic"
READ_BYTES = 4 << 20


async def partitions(settings: Kafka, step: Callable[[str, int, int], None]) -> list[Finding]:
    """One for each partition, read up to where it ended when it was begun. Raises RetryableError; SettingsError: there is no such topic."""
    topic = await find_raw_topic(settings)
    return [await _partition(settings, TopicPartition(topic.name, number), step) for number in range(topic.partitions)]


async def _partition(settings: Kafka, at: TopicPartition, step: Callable[[str, int, int], None]) -> Finding:
    reader, name = PartitionReader(settings, at, SystemClock()), f"{at.topic}/{at.partition}"
    try:
        first, last = await reader.kept()
        after, read = first, 0
        while after < last and (found := await reader.read(after, READ_BYTES, last)):
            after, read = found[-1].position, read + len(found)
            step(name, after - first, last - first)
    finally:
        await reader.close()
    said = "; ".join([f"{read} entries read", *[gap.said for gap in reader.gaps][:EXAMPLES]])
    return Finding(CHECK, name, reader.lost.count, said)
