"""Reads a topic from its beginning to its end as it is when the reading begins, without a consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import ConsumerRecord

from collector.kafka.clients import consumer, partitions
from collector.kafka.faults import translated
from collector.settings import Kafka

_WAIT_MS = 500


async def whole_topic(settings: Kafka, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Every committed record, partition after partition. Raises RetryableError."""
    with translated(settings):
        async with consumer(settings, isolation_level="read_committed", auto_offset_reset="earliest") as reader:
            parts = await partitions(reader, topic)
            ends = await reader.end_offsets(parts)
            for at in parts:
                reader.assign([at])
                await reader.seek_to_beginning(at)
                while await reader.position(at) < ends[at]:
                    for record in (await reader.getmany(at, timeout_ms=_WAIT_MS)).get(at, []):
                        yield record


async def kept_since_us(settings: Kafka, topic: str) -> int | None:
    """What was written later is all still there (µs since the epoch); None if retention has taken nothing yet. Raises RetryableError.

    A partition of which nothing is left tells no time: what it had is not left out.
    """
    with translated(settings):
        async with consumer(settings) as reader:
            parts = await partitions(reader, topic)
            firsts, ends = await reader.beginning_offsets(parts), await reader.end_offsets(parts)
            cut = [at for at in parts if firsts[at] > 0]
            oldest = await reader.offsets_for_times({at: 0 for at in cut if firsts[at] < ends[at]}) if cut else {}
    return max((found.timestamp * 1000 for found in oldest.values() if found is not None), default=None)
