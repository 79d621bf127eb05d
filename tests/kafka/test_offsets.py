"""Places outlive the brokers' forgetting: what is committed again once a day is there, although nothing happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from collector.demo.kafka_broker import KafkaBroker
from collector.errors import FencedError, RetryableError
from collector.kafka import offsets
from collector.kafka.faults import translated
from collector.kafka.offsets import Keeper, committed
from collector.messages.event import Place
from collector.settings import Kafka
from collector.sinks.kafka import KafkaSink, group_of
from tests.support.kafka import new_topics
from tests.support.outputs import chats, outputs

SOON = 0.2


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
    sink = KafkaSink(settings, keep_seconds=SOON)
    await sink.write(journal, made, made[-1].place)
    await forgotten(settings, group_of(journal))
    assert await comes_back(settings, group_of(journal)) == made[-1].place
    await sink.close()


async def test_a_relays_place_is_committed_again_while_nothing_happens(kafka: KafkaBroker) -> None:
    settings, journal = await new_topics(kafka.bootstrap), str(uuid4())
    made = outputs(chats(5))
    target = KafkaSink(settings, "r", keep_seconds=SOON)
    await target.write(journal, made, made[-1].place)
    await forgotten(settings, group_of(journal, "r"))
    assert await comes_back(settings, group_of(journal, "r")) == made[-1].place
    await target.close()


@pytest.mark.parametrize(("fault", "said"), [(RetryableError("away"), "away"), (ValueError("what a body says"), "ValueError in ")])
async def test_what_fails_is_said_and_tried_again(caplog: pytest.LogCaptureFixture, fault: Exception, said: str) -> None:
    tries, enough = 0, asyncio.Event()

    async def keep() -> None:
        nonlocal tries
        tries += 1
        if tries > 2:
            enough.set()
        raise fault

    kept = Keeper(keep, 0.0)
    kept.start()
    kept.start()
    async with asyncio.timeout(5):
        await enough.wait()
    await kept.stop()
    assert said in caplog.text
    assert "what a body says" not in caplog.text


class Transactions:
    """Of one journal: what is committed, and what the next commits meet."""

    def __init__(self, at: TopicPartition) -> None:
        self.at, self.commits, self.failures = at, 0, list[Exception]()

    async def offsets(self, *_: object) -> dict[TopicPartition, OffsetAndMetadata]:
        return {self.at: OffsetAndMetadata(5, "0")}

    async def commit(self, *_: object) -> None:
        if self.failures:
            raise self.failures.pop()
        self.commits += 1

    async def close(self) -> None:
        """It holds nothing."""


async def kept_sink() -> tuple[KafkaSink, list[Transactions]]:
    settings = Kafka(bootstrap_servers="nowhere:1")
    sink, made = KafkaSink(settings), [Transactions(TopicPartition(settings.exchanges_topic, 0)) for _ in range(3)]
    sink._checked = True
    sink._writers = dict(zip("abc", made, strict=True))  # type: ignore[arg-type]
    for journal in "abc":
        await sink.high(journal)
    return sink, made


@pytest.mark.parametrize("error", [RetryableError("away"), ValueError("a bug")], ids=["away", "a bug"])
async def test_a_journal_whose_place_cannot_be_committed_holds_up_no_other_and_is_tried_the_next_day(error: Exception) -> None:
    sink, made = await kept_sink()
    made[0].failures = [error]
    with pytest.raises(RetryableError, match=r"^a: "):
        await sink.keep()
    assert [one.commits for one in made] == [0, 1, 1]
    await sink.keep()
    assert [one.commits for one in made] == [1, 2, 2]
    await sink.close()


async def test_a_place_that_another_process_took_over_is_not_kept() -> None:
    sink, made = await kept_sink()
    made[0].failures = [FencedError("taken over")]
    with pytest.raises(RetryableError, match="taken over"):
        await sink.keep()
    await sink.keep()
    assert [one.commits for one in made] == [0, 2, 2]
    await sink.close()


@pytest.mark.slow
async def test_a_question_that_no_broker_answers_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the group's ACL is missing: aiokafka gives an answer without the partitions."""

    class Admin:
        async def list_consumer_group_offsets(self, *_: object, **__: object) -> dict[TopicPartition, OffsetAndMetadata]:
            return {}

    @asynccontextmanager
    async def admin(_: Kafka) -> AsyncIterator[Admin]:
        yield Admin()

    monkeypatch.setattr(offsets, "admin", admin)
    settings = Kafka(bootstrap_servers="nowhere:1", timeout_seconds=1)
    async with asyncio.timeout(5):
        with pytest.raises(RetryableError, match=r"did not finish within 1 s"), translated(settings):
            await committed(settings, "g", [TopicPartition("t", 0)])
