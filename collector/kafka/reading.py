"""Reads a topic from its beginning to its end as it is when the reading begins, without a consumer group.

What was acknowledged to a writer before is read: brokers show a transaction a moment after its commit, and that is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from collector.kafka.clients import consumer, partitions
from collector.kafka.faults import translated
from collector.settings import Kafka

log = logging.getLogger("meshscribe.kafka")

_WAIT_MS = 500
SETTLING_SECONDS = 5.0  # for transactions under way; one of a process that died stays open for longer (transactions.py)
_AGAIN_SECONDS = 0.02


async def whole_topic(settings: Kafka, topic: str, settling_seconds: float = SETTLING_SECONDS) -> AsyncIterator[ConsumerRecord]:
    """Every committed record, partition after partition. Raises RetryableError."""
    with translated(settings):
        async with consumer(settings, isolation_level="read_committed", auto_offset_reset="earliest") as reader:
            parts = await partitions(reader, topic)
            ends = await _settled(settings, reader, parts, settling_seconds)
            for at in parts:
                reader.assign([at])
                await reader.seek_to_beginning(at)
                while await reader.position(at) < ends[at]:
                    for record in (await reader.getmany(at, timeout_ms=_WAIT_MS)).get(at, []):
                        yield record


async def _settled(
    settings: Kafka, reader: AIOKafkaConsumer, parts: Sequence[TopicPartition], settling_seconds: float
) -> Mapping[TopicPartition, int]:
    """How far each partition can be read, once all is decided that was written by now."""
    async with consumer(settings) as all_of_it:
        written = await all_of_it.end_offsets(parts)
    decided: Mapping[TopicPartition, int] = await reader.end_offsets(parts)
    try:
        async with asyncio.timeout(settling_seconds):
            while any(decided[at] < written[at] for at in parts):
                await asyncio.sleep(_AGAIN_SECONDS)
                decided = await reader.end_offsets(parts)
    except TimeoutError:
        log.warning("a transaction is open in %s: what was written behind its beginning is not read", parts[0].topic)
    return decided


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
