"""Places outlive the brokers' forgetting: what is committed again once a day is there, although nothing happened."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from collector.demo.kafka_broker import KafkaBroker
from collector.errors import RetryableError
from collector.kafka import offsets
from collector.kafka.offsets import Keeper, committed
from collector.messages.event import Place
from collector.settings import Kafka
from collector.sinks.kafka import KafkaSink, group_of
from tests.support.kafka import new_topics
from tests.support.outputs import chats, outputs


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "EVERY_SECONDS", 0.2)


async def forgotten(settings: Kafka, group: str) -> None:
    """The place is another one: as good as none, and clients cannot have a group's offsets expire."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, group_id=group, enable_auto_commit=False)
    at = TopicPartition(settings.exchanges_topic, 0)
    consumer.assign([at])
    await consumer.start()
    try:
        await consumer.commit({at: OffsetAndMetadata(0, "0")})
    finally:
        await consumer.stop()


async def comes_back(settings: Kafka, group: str) -> Place:
    at = TopicPartition(settings.exchanges_topic, 0)
    while (found := (await committed(settings, group, [at]))[at]).offset == 0:
        await asyncio.sleep(0.05)
    return Place(found.offset, int(found.metadata))


async def test_a_sinks_place_is_committed_again_while_nothing_happens(kafka: KafkaBroker) -> None:
    settings, journal = await new_topics(kafka.bootstrap), str(uuid4())
    made = outputs(chats(5))
    sink = KafkaSink(settings)
    await sink.write(journal, made, made[-1].place)
    await forgotten(settings, group_of(journal))
    assert await comes_back(settings, group_of(journal)) == made[-1].place
    await sink.close()


async def test_a_relays_place_is_committed_again_while_nothing_happens(kafka: KafkaBroker) -> None:
    settings, journal = await new_topics(kafka.bootstrap), str(uuid4())
    made = outputs(chats(5))
    target = KafkaSink(settings, "r")
    await target.write(journal, made, made[-1].place)
    await forgotten(settings, group_of(journal, "r"))
    assert await comes_back(settings, group_of(journal, "r")) == made[-1].place
    await target.close()


async def test_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "EVERY_SECONDS", 0.0)
    tries, enough = 0, asyncio.Event()

    async def keep() -> None:
        nonlocal tries
        tries += 1
        if tries > 2:
            enough.set()
        raise RetryableError("away")

    kept = Keeper(keep)
    kept.start()
    kept.start()
    await enough.wait()
    await kept.stop()
