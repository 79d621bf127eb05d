"""All that relies on what aiokafka does not promise: its private attributes, and its modules that no documentation names.

Nothing else in the collector may (tested). Each shape that is relied on has its test in `tests/kafka/test_private.py`, and the wheel takes
no version of aiokafka that those tests have not seen. `record_batch.RecordBatch` stands in for its builder of batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import ConcurrentTransactions, CorruptRecordException, InvalidProducerEpoch, KafkaError, UnknownError, for_code
from aiokafka.partitioner import murmur2
from aiokafka.producer.sender import Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c, decode_varint, encode_varint

__all__ = [
    "Batch",
    "StickyPartitionAssignor",
    "batch_at",
    "calc_crc32c",
    "close_connections",
    "connection",
    "decode_varint",
    "discard",
    "encode_varint",
    "enlist",
    "failure",
    "gzip_encode",
    "lz4_encode",
    "murmur2",
    "overtaken",
    "partitions",
    "snappy_encode",
]

Future: TypeAlias = "asyncio.Future[object]"

ASK_AGAIN_SECONDS = 0.05
_ASK_AGAIN = (UnknownError, ConcurrentTransactions)
_UNREADABLE = (CorruptRecordException.errno, UnknownError.errno)  # what a broker answers for a place that it cannot read
_ONE_BATCH = 1  # a fetch brings the first batch whole, however few bytes were asked for


class Batch(NamedTuple):
    """A batch's records from the offset on that was asked for, and the offset behind it."""

    records: Sequence[ConsumerRecord]
    next_offset: int


async def close_connections(consumer: AIOKafkaConsumer) -> None:
    """Those that `AIOKafkaConsumer.stop` leaves open when it fails."""
    await consumer._client.close()


async def partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Those of a topic that this consumer is not subscribed to; aiokafka has no public way to ask."""
    await consumer._client._wait_on_metadata(topic)
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


async def discard(producer: AIOKafkaProducer) -> None:
    """Ends a producer whose transaction failed or whose broker is gone. What was not acknowledged is given up, and nothing is left running.

    `AIOKafkaProducer.stop` first flushes, and an idempotent batch never expires: with a dead broker it would wait for ever, and its tasks
    with it. Here everything is cancelled instead; the broker aborts the open transaction when the next producer registers the same id.
    """
    sender, accumulator = producer._sender, producer._message_accumulator
    batches = [*accumulator._pending_batches, *(batch for queue in accumulator._batches.values() for batch in queue)]
    tasks = tasks_of(sender)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        _look_at(task)
    for batch in batches:
        for future in (batch.future, batch._drain_waiter):
            if not future.cancel():
                _look_at(future)
    await producer.stop()
    waiter = producer._txn_manager._transaction_waiter if producer._txn_manager is not None else None
    if waiter is not None and waiter.done():
        _look_at(waiter)


def failure(producer: AIOKafkaProducer) -> BaseException | None:
    """Why the producer's sender ended by itself, if it did: that is the cause of whatever failed afterwards."""
    task: Future | None = producer._sender.sender_task
    return task.exception() if task is not None and task.done() and not task.cancelled() else None


def enlist(producer: AIOKafkaProducer, partition: TopicPartition) -> None:
    """Makes the partition part of the open transaction, without a record."""
    _manager(producer).maybe_add_partition_to_txn(partition)


async def overtaken(producer: AIOKafkaProducer) -> bool:
    """Whether another producer has registered the same id: the broker says so when it is asked to abort the open transaction.

    While that registration is under way Kafka 4.3.1 answers "unknown server error" to whoever ends the transaction (its log:
    IllegalStateException, "a pending state PREPARE_EPOCH_FENCE"). It is asked again until it says something else. Raises KafkaError.
    """
    sender, manager = producer._sender, _manager(producer)
    abort = EndTxnRequest(
        transactional_id=manager.transactional_id,
        producer_id=manager.producer_id,
        producer_epoch=manager.producer_epoch,
        transaction_result=False,
    )
    while True:
        coordinator = await sender._find_coordinator(CoordinationType.TRANSACTION, manager.transactional_id)
        answer = for_code((await producer.client.send(coordinator, abort, group=ConnectionGroup.COORDINATION)).error_code)
        if answer not in _ASK_AGAIN:
            return answer is InvalidProducerEpoch
        await asyncio.sleep(ASK_AGAIN_SECONDS)


def tasks_of(sender: Sender) -> set[asyncio.Task[object]]:
    """The sender's own task comes to an end only after those that it started, and they wait for the broker: so all are needed."""
    found = set()
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and frame.f_locals.get("self") is sender:
            found.add(task)
    return found


def _manager(producer: AIOKafkaProducer) -> TransactionManager:
    if producer._txn_manager is None:
        raise AssertionError("only a transactional producer has transactions")
    return producer._txn_manager


def _look_at(done: Future) -> None:
    """An exception that nobody looks at is logged when it is collected."""
    if not done.cancelled():
        done.exception()


def connection(consumer: AIOKafkaConsumer, at: TopicPartition) -> object | None:
    """The connection over which the partition's broker is asked now; None if there is none. aiokafka makes a new one without a word."""
    client = consumer._client
    found: object | None = client._conns.get((client.cluster.leader_for_partition(at), ConnectionGroup.DEFAULT))
    return found


async def batch_at(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> Batch | None:
    """The batch that holds this offset; None if it cannot be read. aiokafka has no public way to ask for one batch.

    Raises KafkaError: its broker does not answer, holds the answer back, has nothing there yet, or is another one.
    """
    client = consumer._client
    leader = client.cluster.leader_for_partition(at)
    if leader is None or leader == -1:
        await client.force_metadata_update()
        raise KafkaError(f"{at} has no leader")
    request = FetchRequest(0, 1, _ONE_BATCH, 0, [(at.topic, [(at.partition, offset, _ONE_BATCH)])])
    answer = await client.send(leader, request)
    if not answer.topics:
        raise KafkaError("its broker holds the answer back (quota)")
    ((_, ((_, code, high, *rest),)),) = answer.topics
    if code in _UNREADABLE:
        return None
    if code:
        await client.force_metadata_update()
        raise _refusal(code, at, offset)
    if not rest[-1] and offset >= high:
        raise KafkaError(f"nothing is told at offset {offset} yet: its broker has what comes before {high}")
    return _whole(rest[-1], offset)


def _refusal(code: int, at: TopicPartition, offset: int) -> KafkaError:
    """As aiokafka raises it; of the many codes that it does not know, with the code."""
    fault = for_code(code)
    return KafkaError(f"code {code}") if fault is UnknownError else fault({at: offset})


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
