"""Makes and ends every client of Kafka. None that could not start is left behind, and none waits for a broker that is gone.

What aiokafka raises comes out as it is: who asks for a client knows what to do with it (faults.py: as an error of ours, or try again).
Consumers commit only what they are told to. Next stop: what each room reads and writes with them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal, TypedDict, Unpack

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from collector.kafka.connection import client_arguments
from collector.kafka.faults import quieten
from collector.kafka.private import StickyPartitionAssignor, close_connections, discard, partitions
from collector.settings import Kafka

__all__ = ["admin", "consumer", "discard", "end", "partitions", "start_consumer", "start_member", "start_producer"]

log = logging.getLogger("meshscribe.kafka")

END_SECONDS = 5.0
START_SECONDS = 0.5  # for a start that nobody waits for any more: a broker that lives answers sooner


class Reading(TypedDict, total=False):
    """What a consumer may ask for: aiokafka's own names."""

    group_id: str
    isolation_level: Literal["read_committed"]
    auto_offset_reset: Literal["earliest", "none"]
    max_partition_fetch_bytes: int
    fetch_max_bytes: int
    max_poll_interval_ms: int
    rebalance_timeout_ms: int


class Writing(TypedDict, total=False):
    """What a producer may ask for: aiokafka's own names."""

    transactional_id: str
    transaction_timeout_ms: int
    retry_backoff_ms: int
    enable_idempotence: bool
    acks: Literal["all"]
    max_batch_size: int
    max_request_size: int


Ending = Callable[[], Coroutine[object, object, None]]
Listener = Callable[[AIOKafkaConsumer], ConsumerRebalanceListener]


@asynccontextmanager
async def consumer(settings: Kafka, at: Sequence[TopicPartition] = (), **options: Unpack[Reading]) -> AsyncIterator[AIOKafkaConsumer]:
    """One for a moment: see `start_consumer`."""
    started = await start_consumer(settings, at, **options)
    try:
        yield started
    finally:
        await end(started)


async def start_consumer(settings: Kafka, at: Sequence[TopicPartition] = (), **options: Unpack[Reading]) -> AIOKafkaConsumer:
    """One that reads `at`, or what it is assigned later. To be ended by `end`. Raises as aiokafka does, and SettingsError."""
    quieten()
    made = AIOKafkaConsumer(**client_arguments(settings), enable_auto_commit=False, **options)
    if at:
        made.assign(at)
    return await _started(made)


async def start_member(
    settings: Kafka, group: str, topics: Sequence[str], listener: Listener, **options: Unpack[Reading]
) -> AIOKafkaConsumer:
    """One that has its share of the topics from a group, and keeps what it has as far as it can. `listener` is told of every new share."""
    quieten()
    session = int(settings.session_seconds * 1000)
    made = AIOKafkaConsumer(
        **client_arguments(settings),
        group_id=group,
        enable_auto_commit=False,
        session_timeout_ms=session,
        heartbeat_interval_ms=session // 6,
        partition_assignment_strategy=(StickyPartitionAssignor,),
        **options,
    )
    made.subscribe(topics, listener=listener(made))
    return await _started(made)


async def start_producer(settings: Kafka, compression: str = "none", **options: Unpack[Writing]) -> AIOKafkaProducer:
    """To be ended by `discard`. Raises as aiokafka does, and SettingsError."""
    quieten()
    made = AIOKafkaProducer(**client_arguments(settings), compression_type=None if compression == "none" else compression, **options)
    await _start(made, partial(discard, made))
    return made


@asynccontextmanager
async def admin(settings: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """For questions and orders that need no group and no transaction."""
    quieten()
    made = AIOKafkaAdminClient(**client_arguments(settings))
    await _start(made, partial(_closed, made))
    try:
        yield made
    finally:
        await _closed(made)


async def end(consumer: AIOKafkaConsumer) -> None:
    """Raises nothing of the consumer's. Within twice END_SECONDS; what is not ended by then is left to itself.

    `AIOKafkaConsumer.stop` cancels its fetches and awaits them; one that rests after a failed request lets its CancelledError through,
    which then looks as if the caller had been cancelled, and the connections stay open. The caller would end without a word. Who is
    really cancelled meanwhile does not wait, but the consumer is ended all the same.
    """
    await asyncio.wait({asyncio.create_task(_ended(consumer))})


async def _started(made: AIOKafkaConsumer) -> AIOKafkaConsumer:
    await _start(made, partial(end, made))
    return made


async def _start(made: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient, ended: Ending) -> None:
    """Starts it, or ends it by `ended`. One that is cancelled while it starts would leave the connection open that it begins with: so it
    starts to its end, and is ended then. Who is cancelled once more does not wait, but it is ended all the same.
    """
    starting = asyncio.ensure_future(made.start())
    try:
        await asyncio.shield(starting)
    except BaseException:
        await asyncio.wait({asyncio.create_task(_given_up(starting, ended))})
        raise


async def _given_up(starting: asyncio.Future[None], ended: Ending) -> None:
    done, _ = await asyncio.wait({starting}, timeout=START_SECONDS)
    if not done:
        starting.cancel()
    elif not starting.cancelled():
        starting.exception()  # that it failed is nobody's concern any more
    await ended()


async def _ended(consumer: AIOKafkaConsumer) -> None:
    await _awaited(consumer.stop())
    await _awaited(close_connections(consumer))


async def _closed(admin: AIOKafkaAdminClient) -> None:
    await _awaited(admin.close())


async def _awaited(closing: Coroutine[object, object, None]) -> None:
    task = asyncio.create_task(closing)
    done, _ = await asyncio.wait({task}, timeout=END_SECONDS)
    if not done:
        task.cancel()
        log.warning("a client of Kafka does not end within %g s: it is left", END_SECONDS)
    elif not task.cancelled() and task.exception() is not None:
        log.debug("a client of Kafka ended with %r", task.exception())
