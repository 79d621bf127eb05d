"""Checkpoints in Kafka that cannot be read hold nothing up, and their note outlives the brokers' forgetting. Needs no broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata

from collector.journal import Checkpoint, kafka_checkpoints, kafka_salvage
from collector.journal.kafka import KafkaJournal
from collector.journal.kafka_checkpoints import Checkpoints, Note, Saved
from collector.journal.kafka_topic import RawTopic
from collector.kafka.offsets import DAY_SECONDS
from collector.kafka.private import Batch
from collector.settings import Kafka
from tests.support.clocks import TurnedClock

SETTINGS, TOPIC = Kafka(bootstrap_servers="nowhere:1"), RawTopic("raw", "c", 1, 1 << 20, 1)
AT = TopicPartition(SETTINGS.checkpoints_topic, 0)
OLD, NEW = Saved(50, 1, 1, "old", 0), Saved(100, 0, 2, "new", 2)


class Record(NamedTuple):
    """As much of a ConsumerRecord as is looked at."""

    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def chunk(saved: Saved, number: int, value: bytes) -> Record:
    return Record(f"kafka:c/raw/0/{saved.slot}/{number}".encode(), value, [("generation", saved.generation.encode())])


class Topic:
    """The topic of checkpoints: gives one record with each fetch. What stands for one that cannot be read is raised, or, if it is None,
    told to nobody who does not ask for this place.
    """

    def __init__(self, *log: Record | Exception | None) -> None:
        self.log, self._next, self.away, self.silent = list(log), 0, 0, False

    @asynccontextmanager
    async def consumer(self, *_: Any, **__: Any) -> AsyncIterator[Topic]:
        if self.away:
            self.away -= 1
            raise KafkaConnectionError("away")
        yield self

    async def beginning_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {AT: 0}

    async def end_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {AT: len(self.log)}

    def seek(self, _: Any, offset: int) -> None:
        self._next = offset

    async def position(self, _: Any) -> int:
        return self._next

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        if self.silent or self._next >= len(self.log) or (found := self.log[self._next]) is None:
            return {}
        if isinstance(found, Exception):
            raise found
        self._next += 1
        return {AT: [found]}

    async def batch_at(self, _: Any, __: Any, offset: int) -> Batch | None:
        return Batch((), offset + 1) if isinstance(self.log[offset], Record) else None


class Transactions:
    """What the group has committed, and how often."""

    def __init__(self, note: Note | None) -> None:
        self.place = OffsetAndMetadata(7, msgspec.json.encode(note).decode()) if note is not None else None
        self.commits = 0

    async def offsets(self, *_: Any) -> dict[TopicPartition, OffsetAndMetadata]:
        return {AT: self.place} if self.place is not None else {}

    async def commit(self, records: Iterable[Any], group: str, places: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        assert group == "meshscribe-kafka:c/raw/0-checkpoints"
        list(records)
        self.place, self.commits = places[AT], self.commits + 1

    async def close(self) -> None:
        """It holds nothing."""


class Clock(TurnedClock):
    """Lets no time pass."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(topic: Topic, note: Note | None, keep_seconds: float = DAY_SECONDS) -> tuple[Checkpoints, Transactions]:
        monkeypatch.setattr(kafka_checkpoints, "consumer", topic.consumer)
        monkeypatch.setattr(kafka_checkpoints, "batch_at", topic.batch_at)
        monkeypatch.setattr(kafka_salvage, "batch_at", topic.batch_at)
        made, transactions = Checkpoints(SETTINGS, TOPIC, 0, Clock(), keep_seconds), Transactions(note)
        made._transactions = transactions  # type: ignore[assignment]
        return made, transactions

    return make


SOUND = (chunk(OLD, 0, b"older"), chunk(NEW, 0, b"new"), chunk(NEW, 1, b"er"))


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ((SOUND[0], SOUND[0], *SOUND[1:]), Checkpoint(100, b"newer")),
        ((SOUND[0], SOUND[0], SOUND[1]), Checkpoint(50, b"older")),
        ((SOUND[0], SOUND[0], SOUND[1], chunk(NEW, 5, b"er")), Checkpoint(50, b"older")),
        ((SOUND[0], SOUND[0], SOUND[1], CorruptRecordException()), Checkpoint(50, b"older")),
        ((SOUND[0], SOUND[0], SOUND[1], None, chunk(NEW, 5, b"er")), Checkpoint(50, b"older")),
        ((SOUND[0], SOUND[0], None, SOUND[1], CorruptRecordException(), SOUND[2]), Checkpoint(100, b"newer")),
        ((None, None, None, None), None),
        ((), None),
    ],
    ids=[
        "sound",
        "a chunk is missing",
        "another chunk",
        "a corrupt one",
        "one that never comes",
        "others in between cannot be read",
        "nothing can be read",
        "all are gone",
    ],
)
async def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before_it(
    kept: Any, log: Sequence[Any], found: Checkpoint | None, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, _ = kept(Topic(*log), Note(NEW, OLD))
    async with asyncio.timeout(5):
        assert await checkpoints.load(120) == found
    errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert len(errors) == (0 if found == Checkpoint(100, b"newer") else 1 if found else 2)
    assert all("chunks of the checkpoint of kafka:c/raw/0 at position" in error for error in errors)


async def test_one_bad_answer_costs_no_checkpoint(kept: Any) -> None:
    topic = Topic(SOUND[0], SOUND[0], CorruptRecordException(), SOUND[2])
    checkpoints, _ = kept(topic, Note(NEW, OLD))
    loading = asyncio.create_task(checkpoints.load(120))
    while topic._next < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    topic.log[2] = SOUND[1]
    assert await loading == Checkpoint(100, b"newer")


async def test_a_broker_that_is_slow_costs_no_checkpoint(kept: Any) -> None:
    topic = Topic(SOUND[0], SOUND[0], *SOUND[1:])
    topic.silent = True
    checkpoints, _ = kept(topic, Note(NEW, OLD))
    loading = asyncio.create_task(checkpoints.load(120))
    async with asyncio.timeout(5):
        while checkpoints.failing is None:
            await asyncio.sleep(0)
        assert "its broker gives nothing behind offset 2" in checkpoints.failing
        topic.silent = False
        assert await loading == Checkpoint(100, b"newer")


async def test_what_checkpoints_wait_for_is_told(kept: Any) -> None:
    topic = Topic(SOUND[0], SOUND[0], *SOUND[1:])
    topic.away = 1 << 30
    journal = KafkaJournal(SETTINGS, TOPIC, 0, None, Clock())  # type: ignore[arg-type]
    journal._checkpoints, _ = kept(topic, Note(NEW, OLD))
    loading = asyncio.create_task(journal.checkpoint(120))
    async with asyncio.timeout(5):
        while journal.failing is None:
            await asyncio.sleep(0)
        assert "its checkpoints cannot be read or saved: KafkaConnectionError: away" in journal.failing
        topic.away = 0
        assert await loading == Checkpoint(100, b"newer")
    assert journal.failing is None


async def test_the_note_of_an_idle_partition_is_committed_again(kept: Any) -> None:
    checkpoints, transactions = kept(Topic(SOUND[0], SOUND[0], *SOUND[1:]), Note(NEW, OLD), 0.01)
    await checkpoints.load(120)
    before = transactions.place
    async with asyncio.timeout(5):
        while transactions.commits < 2:
            await asyncio.sleep(0.01)
    assert transactions.place == before
    await checkpoints.save(Checkpoint(200, b"s"))
    written, commits = transactions.place, transactions.commits
    async with asyncio.timeout(5):
        while transactions.commits < commits + 2:
            await asyncio.sleep(0.01)
    assert transactions.place == written
    await checkpoints.close()


async def test_where_no_note_is_none_is_committed(kept: Any) -> None:
    checkpoints, transactions = kept(Topic(), None, 0.01)
    assert await checkpoints.load(120) is None
    await asyncio.sleep(0.05)
    assert transactions.commits == 0
    await checkpoints.close()
