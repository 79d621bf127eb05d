"""A topic is read to the end that its writers know of: also what was committed a moment before."""

from __future__ import annotations

import asyncio

from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.clients import discard, start_producer
from collector.kafka.reading import whole_topic
from collector.kafka.transactions import Record, Transactions
from collector.settings import Kafka
from tests.support.kafka import new_topics


async def values(settings: Kafka, settling_seconds: float = 20.0) -> list[bytes]:
    return [record.value async for record in whole_topic(settings, settings.dead_letters_topic, settling_seconds)]


async def test_what_is_being_committed_is_waited_for(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1)
    writer = await start_producer(settings, transactional_id="slow")
    await writer.begin_transaction()
    await writer.send_and_wait(settings.dead_letters_topic, b"late", key=b"key")
    reading = asyncio.create_task(values(settings))
    done, _ = await asyncio.wait([reading], timeout=1.0)
    assert not done
    await writer.commit_transaction()
    assert await reading == [b"late"]
    await discard(writer)


async def test_what_was_acknowledged_is_read_at_once(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1)
    writer = Transactions(settings, "quick")
    for count in range(1, 11):
        await writer.commit([Record(settings.dead_letters_topic, b"key", b"%d" % count, [])])
        assert len(await values(settings)) == count
    await writer.close()


async def test_an_abandoned_transaction_does_not_hold_up_the_rest(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1)
    writer, abandoned = Transactions(settings, "orderly"), await start_producer(settings, transactional_id="abandoned")
    await writer.commit([Record(settings.dead_letters_topic, b"key", b"before", [])])
    await abandoned.begin_transaction()
    await abandoned.send_and_wait(settings.dead_letters_topic, b"open", key=b"key")
    assert await values(settings, settling_seconds=0.1) == [b"before"]
    await abandoned.abort_transaction()
    await discard(abandoned)
    await writer.close()
