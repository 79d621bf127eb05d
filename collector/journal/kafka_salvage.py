"""One batch of a partition at a time, past what its log has damaged: aiokafka's consumer gives nothing of a fetch that holds a bad batch.

Kafka's checksum covers a batch from its attributes on, and the consumer compares it; a broker looks only at lengths. Where a head is
damaged, the broker finds nothing until its index names a place again, which it does every 4 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, UnknownError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

ONE_BY_ONE = 128  # offsets tried one after the other, before steps grow: what lies between two damaged places is not to be missed
_DAMAGED = (CorruptRecordException, UnknownError)  # what a broker answers for a place that it cannot read
_ONE_BATCH = 1  # a fetch brings the first batch whole, however few bytes were asked for


class Batch(NamedTuple):
    """Its records from the offset on that was asked for, and the offset behind it."""

    records: Sequence[Any]
    next_offset: int


async def batch_at(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> Batch | None:
    """The batch that holds this offset; None if it cannot be read. Raises KafkaError: its broker does not answer, or is another one."""
    client = consumer._client  # aiokafka has no public way to ask for one batch
    leader = client.cluster.leader_for_partition(at)
    if leader is None or leader == -1:
        await client.force_metadata_update()
        raise KafkaError(f"{at} has no leader")
    request = FetchRequest(0, 1, _ONE_BATCH, 0, [(at.topic, [(at.partition, offset, _ONE_BATCH)])])
    answer = await client.send(leader, request)
    ((_, ((_, code, *rest),)),) = answer.topics
    fault = for_code(code)
    if code and fault not in _DAMAGED:
        if fault.invalid_metadata:
            await client.force_metadata_update()
        raise fault()
    return None if code else _whole(rest[-1], offset)


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


def _whole(data: bytes | None, offset: int) -> Batch | None:
    try:
        batches = MemoryRecords(data or b"")
        batch = batches.next_batch() if batches.has_next() else None
        if batch is None or not batch.validate_crc():
            return None
        # The batch's own offset is not under the checksum: one that does not hold what was asked for is not believed.
        if not batch.base_offset <= offset < batch.next_offset:
            return None
        return Batch([record for record in batch if record.offset >= offset], batch.next_offset)
    except Exception:  # noqa: BLE001 - whatever it stumbles over, these bytes are no batch
        return None
