"""A real broker for tests: one per session (fixture `kafka`), topics of its own for each test (`Topics.new`)."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from collector.errors import RetryableError
from collector.kafka.clients import end
from collector.kafka.topics import create, existing, missing
from collector.settings import Kafka
from tests.support.waits import until_holds

OWN_FILES = 1  # that a loop watches to be woken by


@contextmanager
def running_broker(folder: Path, properties: dict[str, str] | None = None) -> Iterator[KafkaBroker]:
    """A broker that is up, and is gone afterwards."""
    with ExitStack() as stack:
        ports = stack.enter_context(Ports())
        broker = KafkaBroker(ports.take(), ports.take(), folder, properties)
        stack.callback(broker.kill)
        broker.start()
        yield broker


def unique(name: str) -> str:
    """A name that no other test uses."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


async def create_topic(bootstrap: str, name: str, partitions: int = 1, configs: dict[str, str] | None = None) -> str:
    """Creates a topic of this exact name. Returns it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs or {})])
        faults = [fault for fault in answer.topic_errors if fault[1]]
        assert not faults, faults
        while (await admin.describe_topics([name]))[0]["error_code"]:  # brokers hear of it a moment later
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
    return name


async def alter_topic(bootstrap: str, topic: str, **configs: str) -> None:
    """Sets configuration values; `_` in a name stands for a dot."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=named)])
    finally:
        await admin.close()


def settings_for(bootstrap: str, **changes: Any) -> Kafka:
    """Settings with topics of their own, which are not there yet."""
    prefix = unique("t")
    topics = {
        f"{name}_topic": f"{prefix}.{name}"
        for name in ("exchanges", "usage", "payloads", "ledger", "raw", "checkpoints", "dead_letters", "services", "access")
    }
    return Kafka(**{"bootstrap_servers": bootstrap, **topics, **changes})


async def new_topics(bootstrap: str, partitions: int = 3, **changes: Any) -> Kafka:
    """Settings with topics of their own, created."""
    settings = settings_for(bootstrap, **changes)
    await known(settings, await create(settings, partitions, None))
    return settings


async def known(settings: Kafka, names: list[str]) -> None:
    """Waits until the broker knows the topics that it has just created: it may answer before."""

    async def there() -> bool:
        try:
            return not missing(names, (await existing(settings, names))[1])
        except RetryableError:
            return False

    await until_holds(there)


def event_ids(records: list[ConsumerRecord]) -> list[str]:
    """The CloudEvents ids, in the order read."""
    return [dict(record.headers)["ce_id"].decode() for record in records]


async def read_all(bootstrap: str, *topics: str, committed: bool = True, patience_seconds: float = 20.0) -> list[ConsumerRecord]:
    """Every record of these topics up to their end as it is now: of the committed ones, or of all, aborted ones too.

    A commit is seen a moment after it was acknowledged, so transactions under way are waited for, with patience.
    """
    async with AsyncExitStack() as stack:
        everything = await _consumer(stack, bootstrap, "read_uncommitted")
        consumer = await _consumer(stack, bootstrap, "read_committed") if committed else everything
        parts = [TopicPartition(topic, p) for topic in topics for p in sorted(await _partitions(consumer, topic))]
        ends, deadline = await everything.end_offsets(parts), time.monotonic() + patience_seconds
        while committed and any(stable < ends[part] for part, stable in (await consumer.end_offsets(parts)).items()):
            if time.monotonic() >= deadline:
                ends = await consumer.end_offsets(parts)
            await asyncio.sleep(0.02)
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found


async def _consumer(stack: AsyncExitStack, bootstrap: str, level: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=level, enable_auto_commit=False, auto_offset_reset="earliest")
    stack.push_async_callback(end, consumer)
    await consumer.start()
    return consumer


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client._wait_on_metadata(topic)
    return set(consumer.partitions_for_topic(topic) or ())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """The session's broker, started when the first test asks for it. A test that stops it starts it again."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
async def connections_gone() -> AsyncIterator[None]:
    """Waits behind a test until its loop has no connection more. One that was refused is closed some turns after it was told, and would
    complain if the loop were gone by then: to whatever test runs.
    """
    yield
    loop = asyncio.get_running_loop()
    patience = loop.time() + 1.0  # what a failed test has left open stays so
    while len(loop._selector.get_map()) > OWN_FILES and loop.time() < patience:  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
