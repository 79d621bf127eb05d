"""Ends an aiokafka producer whose transaction failed or whose broker is gone.

`AIOKafkaProducer.stop` first flushes, and an idempotent batch never expires: with a dead broker it would wait for ever, and its tasks
with it. Here everything is cancelled instead; the broker aborts the open transaction when the next producer registers the same id.
Only this module reaches into aiokafka's private parts; record_batch.py stands in for its builder.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import ConcurrentTransactions, InvalidProducerEpoch, UnknownError, for_code
from aiokafka.protocol.transaction import EndTxnRequest

ASK_AGAIN_SECONDS = 0.05
_ASK_AGAIN = (UnknownError, ConcurrentTransactions)


async def discard(producer: AIOKafkaProducer) -> None:
    """Nothing of this producer is left running when it returns. What was not acknowledged is given up."""
    sender, accumulator = producer._sender, producer._message_accumulator
    batches = [*accumulator._pending_batches, *(batch for queue in accumulator._batches.values() for batch in queue)]
    tasks = _tasks_of(sender)
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


def _manager(producer: AIOKafkaProducer) -> Any:
    if producer._txn_manager is None:
        raise AssertionError("only a transactional producer has transactions")
    return producer._txn_manager


def failure(producer: AIOKafkaProducer) -> BaseException | None:
    """Why the producer's sender ended by itself, if it did: that is the cause of whatever failed afterwards."""
    task = producer._sender.sender_task
    return task.exception() if task is not None and task.done() and not task.cancelled() else None


def _tasks_of(sender: Any) -> set[asyncio.Task[Any]]:
    """The sender's own task comes to an end only after those that it started, and they wait for the broker: so all are needed."""
    found = set()
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and frame.f_locals.get("self") is sender:
            found.add(task)
    return found


def _look_at(done: asyncio.Future[Any]) -> None:
    """An exception that nobody looks at is logged when it is collected."""
    if not done.cancelled():
        done.exception()
