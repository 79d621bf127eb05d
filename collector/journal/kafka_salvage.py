"""One batch of a partition at a time, past what its log has damaged: aiokafka's consumer gives nothing of a fetch that holds a bad batch.

Kafka's checksum covers a batch from its attributes on, and the consumer compares it; a broker looks only at lengths. Where a head is
damaged, the broker finds nothing until its index names a place again, which it does every 4 KiB.
"""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from collector.kafka.private import batch_at

ONE_BY_ONE = 128  # offsets tried one after the other, before steps grow: what lies between two damaged places is not to be missed


async def next_readable(consumer: AIOKafkaConsumer, at: TopicPartition, after: int, end: int) -> int | None:
    """The first offset behind `after`, which cannot be read, that can be; `end` if none before it can. Raises KafkaError.

    None: the broker reads nothing of it at all, so that it may be ill, and not the log.
    """
    bad, good, step = after, after, 1
    while await batch_at(consumer, at, good) is None:
        bad = good
        good += step
        step = step if good - after < ONE_BY_ONE else 2 * step
        if good >= end:
            return end if await _is_well(consumer, at, after) else None
    while good - bad > 1:
        middle = (bad + good) // 2
        if await batch_at(consumer, at, middle) is None:
            bad = middle
        else:
            good = middle
    return good


async def _is_well(consumer: AIOKafkaConsumer, at: TopicPartition, before: int) -> bool:
    """Whether its broker can read the beginning of the partition, which is before this offset."""
    first = int((await consumer.beginning_offsets([at]))[at])
    return first < before and await batch_at(consumer, at, first) is not None
