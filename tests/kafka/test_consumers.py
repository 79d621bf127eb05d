"""What aiokafka lets escape when a consumer ends is no cancellation of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from collector.kafka.consumers import end
from tests.support.kafka import new_topics


@pytest.fixture
async def resting(kafka: KafkaBroker) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer with a fetch that rests before it tries again, as it does while its broker is away."""
    settings = await new_topics(kafka.bootstrap, 1)
    consumer = AIOKafkaConsumer(settings.exchanges_topic, bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    task = asyncio.create_task(asyncio.sleep(600))
    consumer._fetcher._pending_tasks.add(task)
    await asyncio.sleep(0)
    yield consumer
    await asyncio.wait({task}, timeout=5)


async def test_ending_a_consumer_does_not_look_like_a_cancellation(resting: AIOKafkaConsumer) -> None:
    await end(resting)
    assert not resting._client._conns or not any(connection.connected() for connection in resting._client._conns.values())


async def test_who_is_cancelled_while_a_consumer_ends_is_cancelled(resting: AIOKafkaConsumer) -> None:
    task = asyncio.create_task(end(resting))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    while any(connection.connected() for connection in resting._client._conns.values()):
        await asyncio.sleep(0.01)


async def test_a_consumer_that_could_not_start_leaves_nothing_behind() -> None:
    with Ports() as ports:
        consumer = AIOKafkaConsumer("none", bootstrap_servers=f"127.0.0.1:{ports.take()}")
        with pytest.raises(KafkaConnectionError):
            await consumer.start()
    await end(consumer)
    assert consumer._closed
