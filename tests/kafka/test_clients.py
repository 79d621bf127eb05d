"""Clients that cannot start leave nothing behind, and what aiokafka lets escape when a consumer ends is no cancellation of the caller."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaConnectionError

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from collector.kafka.clients import admin, consumer, end, start_consumer, start_member, start_producer
from collector.settings import Kafka
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


@pytest.fixture
def away() -> Iterator[Kafka]:
    """Nobody listens there."""
    with Ports() as ports:
        yield Kafka(bootstrap_servers=f"127.0.0.1:{ports.take()}")


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing is held."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing is read."""


async def group(settings: Kafka) -> None:
    await start_member(settings, "g", ["t"], lambda _: Listener())


async def one_consumer(settings: Kafka) -> None:
    async with consumer(settings, [TopicPartition("t", 0)]):
        pass


async def one_admin(settings: Kafka) -> None:
    async with admin(settings):
        pass


@pytest.mark.parametrize("start", [group, one_consumer, one_admin, start_consumer, start_producer])
async def test_none_that_could_not_start_leaves_anything_behind(away: Kafka, start: Callable[[Kafka], Awaitable[object]]) -> None:
    with pytest.raises(KafkaConnectionError):
        await start(away)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.slow
async def test_one_whose_start_is_cancelled_leaves_nothing_behind(silent: Kafka) -> None:
    for start in (group, one_consumer, one_admin, start_consumer, start_producer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await start(silent)
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() if "aiokafka" in repr(task)} == set()


@pytest.mark.parametrize("start", [group, one_consumer, one_admin, start_consumer, start_producer])
async def test_one_whose_start_is_cancelled_has_no_connection_left(
    asked_of_the_cluster: tuple[Kafka, asyncio.Event], start: Callable[[Kafka], Coroutine[object, object, object]]
) -> None:
    """While it asks what the cluster is, aiokafka itself forgets the connection that it asks by."""
    settings, asked = asked_of_the_cluster
    starting = asyncio.create_task(start(settings))
    await asyncio.wait_for(asked.wait(), 20)
    starting.cancel()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await asyncio.wait({starting})
        assert starting.cancelled()
        del starting
        gc.collect()
    assert [str(one.message) for one in told] == []


@pytest.fixture
async def asked_of_the_cluster(kafka: KafkaBroker) -> AsyncIterator[tuple[Kafka, asyncio.Event]]:
    """A way to a broker, and whether it was asked what the cluster is: the second request, behind the one for what it understands."""
    asked, ways = asyncio.Event(), set[asyncio.Task[None]]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ways.add(task)
        host, _, port = kafka.bootstrap.rpartition(":")
        from_broker, to_broker = await asyncio.open_connection(host, int(port))
        try:
            to_broker.write(await _message(reader))
            writer.write(await _message(from_broker))
            request = await _message(reader)
            asked.set()
            to_broker.write(request)
            writer.write(await _message(from_broker))
            await reader.read()
        except (asyncio.IncompleteReadError, OSError):
            return  # the client has gone
        finally:
            to_broker.close()
            writer.close()
            await asyncio.gather(to_broker.wait_closed(), writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield Kafka(bootstrap_servers="{}:{}".format(*server.sockets[0].getsockname())), asked
    server.close()
    await asyncio.wait(ways, timeout=20)


async def _message(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big"))


@pytest.fixture
async def silent() -> AsyncIterator[Kafka]:
    """Takes connections, and never says a word."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    yield Kafka(bootstrap_servers="{}:{}".format(*server.sockets[0].getsockname()))
    for writer in held:
        writer.close()
    server.close()
