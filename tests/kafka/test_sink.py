"""The Kafka sink against a real broker, beyond what every sink must do (tests/conformance/test_sink.py)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.sender import Sender

from collector.demo.kafka_broker import KafkaBroker
from collector.errors import FencedError, PermanentError, RetryableError, SettingsError
from collector.kafka.cloudevents import decode
from collector.messages.event import USAGE_TYPE, Output, Place
from collector.settings import Kafka
from collector.sinks.kafka import KafkaSink, event_topics, group_of
from collector.sinks.protocol import WHOLE
from tests.support.kafka import alter_topic, create_topic, event_ids, new_topics, read_all, settings_for
from tests.support.outputs import chats, events, outputs

Opened = Callable[[Kafka], KafkaSink]


@pytest.fixture
async def settings(kafka: KafkaBroker) -> Kafka:
    return await new_topics(kafka.bootstrap)


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Makes sinks that are closed in the end."""
    async with AsyncExitStack() as stack:

        def make(settings: Kafka) -> KafkaSink:
            sink = KafkaSink(settings)
            stack.push_async_callback(sink.close)
            return sink

        yield make


@pytest.fixture
def sink(opened: Opened, settings: Kafka) -> KafkaSink:
    return opened(settings)


@pytest.fixture
def journal() -> str:
    return str(uuid4())


def topics_of(settings: Kafka) -> list[str]:
    return sorted(set(event_topics(settings).values()))


async def stored(settings: Kafka) -> list[str]:
    """Ids of all events that a read_committed consumer sees."""
    return event_ids(await read_all(settings.bootstrap_servers, *topics_of(settings)))


def ids(of: list[Output]) -> list[str]:
    return [event.id for event in events(of)]


async def test_every_event_lands_in_the_topic_of_its_type(settings: Kafka, sink: KafkaSink, journal: str) -> None:
    some = outputs(chats(5))
    await sink.write(journal, some, some[-1].place)
    for kind, topic in event_topics(settings).items():
        found = [decode(r.headers, r.value).event for r in await read_all(settings.bootstrap_servers, topic)]
        assert sorted(e for e in found if e.type == kind) == sorted(e for e in events(some) if e.type == kind)


async def test_place_and_journal_come_back_with_each_event(settings: Kafka, sink: KafkaSink, journal: str) -> None:
    some = outputs(chats(3))
    await sink.write(journal, some, some[-1].place)
    read = [decode(r.headers, r.value) for r in await read_all(settings.bootstrap_servers, settings.exchanges_topic)]
    assert {(one.journal, one.place) for one in read} == {(journal, output.place) for output in some if len(output.events) > 1}


async def test_events_of_one_service_keep_their_order(settings: Kafka, sink: KafkaSink, journal: str) -> None:
    some = outputs(chats(300))
    for start in range(0, len(some), 40):
        await sink.write(journal, some[start : start + 40], some[start : start + 40][-1].place)
    records = await read_all(settings.bootstrap_servers, settings.usage_topic)
    assert len({record.partition for record in records}) == 1
    assert event_ids(records) == [event.id for event in events(some) if event.type == USAGE_TYPE]


async def test_high_survives_the_sink_with_any_position_and_ordinal(settings: Kafka, sink: KafkaSink, journal: str, opened: Opened) -> None:
    assert await sink.high(journal) == Place(0, WHOLE)
    for place in (Place(1, 0), Place(1, WHOLE), Place(2**53 + 1, 49_999)):
        await sink.write(journal, [], place)
        again = opened(settings)
        assert await again.high(journal) == place
        await again.close()
        sink = opened(settings)  # the other one has fenced it
    await sink.close()


async def test_a_second_sink_fences_the_first(settings: Kafka, sink: KafkaSink, journal: str, opened: Opened) -> None:
    some = outputs(chats(4))
    await sink.write(journal, some[:1], some[0].place)
    second = opened(settings)
    assert await second.high(journal) == some[0].place
    for _ in range(2):  # it stays fenced: it must not take the place back
        with pytest.raises(FencedError):
            await sink.write(journal, some[1:], some[-1].place)
    await second.write(journal, some[1:], some[-1].place)
    await second.close()
    assert Counter(await stored(settings)) == Counter(ids(some))


async def test_two_journals_do_not_touch_each_other(settings: Kafka, sink: KafkaSink) -> None:
    some, one, other = outputs(chats(2)), str(uuid4()), str(uuid4())
    await sink.write(one, some[:1], some[0].place)
    await sink.write(other, some[1:2], some[1].place)
    assert (await sink.high(one), await sink.high(other)) == (some[0].place, some[1].place)
    assert group_of(one) != group_of(other)


async def test_what_is_stored_already_is_passed_over_when_it_comes_with_more(settings: Kafka, sink: KafkaSink, journal: str) -> None:
    some = outputs(chats(30))
    await sink.write(journal, some[:12], some[11].place)
    await sink.write(journal, some, some[-1].place)
    assert Counter(await stored(settings)) == Counter(ids(some))


async def test_a_transaction_names_its_partitions_at_once(
    settings: Kafka, sink: KafkaSink, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers turn away what is written to one while another is being added, and it would wait for the next attempt."""
    named, really = [], Sender._do_add_partitions_to_txn

    async def watched(self: Sender, partitions: set[TopicPartition]) -> object:
        named.append(frozenset(partitions))
        return await really(self, partitions)

    await sink.high(journal)  # what a predecessor may have left is mended with a transaction of its own
    monkeypatch.setattr(Sender, "_do_add_partitions_to_txn", watched)
    some = [output for output in outputs(chats(600)) if len(output.events) > 1]  # several batches for each partition
    await sink.write(journal, some, some[-1].place)
    topics = {settings.exchanges_topic, settings.usage_topic, settings.payloads_topic}
    assert [{partition.topic for partition in one} for one in set(named)] == [topics]  # once, or again if it was too early


async def until_refused(settings: Kafka, value: bytes) -> None:
    """Brokers hear of a changed limit a moment later."""
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all") as producer:
        while True:
            try:
                await producer.send_and_wait(settings.payloads_topic, value, partition=0)
            except MessageSizeTooLargeError:
                return


async def test_a_record_that_the_broker_refuses_is_permanent_and_holds_up_nobody(
    settings: Kafka, sink: KafkaSink, journal: str, opened: Opened
) -> None:
    noise = b"".join(uuid4().bytes for _ in range(20_000))
    some = [*outputs(chats(2)), *outputs(chats(1, first=2, request=noise))]
    await sink.high(journal)
    await alter_topic(settings.bootstrap_servers, settings.payloads_topic, max_message_bytes="100000")
    await until_refused(settings, noise)
    with pytest.raises(PermanentError, match="refuses a record"):
        await sink.write(journal, some, Place(9000, 0))
    assert await read_all(settings.bootstrap_servers, settings.exchanges_topic, patience_seconds=30) == []
    assert await sink.high(journal) == Place(0, WHOLE)
    await sink.write(journal, some[:2], some[1].place)
    exchanges = event_ids(await read_all(settings.bootstrap_servers, settings.exchanges_topic))
    assert sorted(exchanges) == sorted(output.events[0].id for output in some[:2])


async def test_a_dead_broker_is_retryable_and_afterwards_all_is_there_once(kafka: KafkaBroker, journal: str, opened: Opened) -> None:
    settings = await new_topics(kafka.bootstrap, timeout_seconds=3)
    sink, some = opened(settings), outputs(chats(30))
    await sink.write(journal, some[:10], some[9].place)
    kafka.kill()
    try:
        for _ in range(2):  # with a producer from before, and with a new one
            with pytest.raises(RetryableError, match="Kafka at 127"):
                await sink.write(journal, some[10:], some[-1].place)
    finally:
        kafka.start()
    await until_taken(sink, journal, some[10:])
    await sink.close()
    assert Counter(await stored(settings)) == Counter(ids(some))


async def until_taken(sink: KafkaSink, journal: str, some: list[Output]) -> None:
    """As the pipeline does."""
    async with asyncio.timeout(200):
        while True:
            try:
                return await sink.write(journal, some, some[-1].place)
            except RetryableError:
                await asyncio.sleep(0.1)


async def test_a_broker_that_restarts_in_mid_batch_loses_and_doubles_nothing(kafka: KafkaBroker, journal: str, opened: Opened) -> None:
    settings = await new_topics(kafka.bootstrap, timeout_seconds=10)
    sink, some = opened(settings), outputs(chats(400))
    batches = [some[start : start + 20] for start in range(0, len(some), 20)]

    async def write() -> None:
        for batch in batches:
            await until_taken(sink, journal, batch)

    writing = asyncio.create_task(write())
    while await sink.high(journal) < batches[3][-1].place:
        await asyncio.sleep(0)
    kafka.kill()
    kafka.start(wait=False)
    await writing
    await sink.close()
    assert Counter(await stored(settings)) == Counter(ids(some))


async def test_a_cancelled_write_is_stored_whole_or_not_at_all(settings: Kafka, sink: KafkaSink, journal: str, opened: Opened) -> None:
    some = outputs(chats(50))
    await sink.high(journal)
    writing = asyncio.create_task(sink.write(journal, some, some[-1].place))
    while not await read_all(settings.bootstrap_servers, settings.payloads_topic, committed=False) and not writing.done():
        pass
    writing.cancel()
    await asyncio.wait({writing})
    again = opened(settings)
    high = await again.high(journal)  # the commit may have been on its way: then it is told
    assert high in (some[-1].place, Place(0, WHOLE))
    assert Counter(await stored(settings)) == (Counter(ids(some)) if high == some[-1].place else Counter())
    await again.write(journal, some, some[-1].place)
    assert Counter(await stored(settings)) == Counter(ids(some))


async def test_nothing_runs_on_after_a_failed_producer_is_gone(kafka: KafkaBroker, journal: str, opened: Opened) -> None:
    settings = await new_topics(kafka.bootstrap, timeout_seconds=2)
    before = asyncio.all_tasks()
    sink, some = opened(settings), outputs(chats(3))
    await sink.write(journal, some[:1], some[0].place)
    kafka.kill()
    try:
        with pytest.raises(RetryableError):
            await sink.write(journal, some[1:], some[-1].place)
        await sink.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
    finally:
        kafka.start()


async def test_missing_topics_are_named_with_what_to_do(kafka: KafkaBroker, journal: str, opened: Opened) -> None:
    settings = settings_for(kafka.bootstrap)
    with pytest.raises(SettingsError, match="meshscribe kafka topics --create") as caught:
        await opened(settings).high(journal)
    assert len(caught.value.faults) == len(topics_of(settings))


async def test_a_topic_that_takes_less_than_our_largest_record_is_refused(kafka: KafkaBroker, journal: str, opened: Opened) -> None:
    settings = settings_for(kafka.bootstrap)
    for topic in topics_of(settings):
        small = topic == settings.payloads_topic
        await create_topic(kafka.bootstrap, topic, configs={"max.message.bytes": "1000000" if small else "3000000"})
    with pytest.raises(SettingsError, match=f"{settings.payloads_topic} takes .its max.message.bytes is 1000000") as caught:
        await opened(settings).high(journal)
    assert len(caught.value.faults) == 1


async def test_nobody_listening_is_retryable(journal: str, opened: Opened) -> None:
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1:1"):
        await opened(settings_for("127.0.0.1:1")).high(journal)
