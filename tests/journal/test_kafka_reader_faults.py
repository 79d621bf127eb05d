"""The raw topic's reader beside a broker that cuts its log, is slow, or answers amiss for a moment. Needs no broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError

from collector.errors import DamagedError
from collector.journal import kafka_reader, kafka_salvage
from collector.journal.kafka import KafkaJournal
from collector.journal.kafka_reader import MAX_ENTRIES, PartitionReader
from collector.journal.kafka_topic import RawTopic, Stamp, headers_of
from collector.kafka.private import Batch
from collector.messages.entry import Entry, Incident, Kind
from collector.settings import Kafka
from tests.support.clocks import TurnedClock

AT = TopicPartition("raw", 0)
ALL = 1 << 24
EACH = 10  # records of a batch
LATER = 5000


class Record(NamedTuple):
    """As much of a ConsumerRecord as is looked at."""

    offset: int
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None = b"n"
    value: bytes | None = b"x"


def record(offset: int, since: int = 0) -> Record:
    return Record(offset, headers_of(Kind.TAP, Stamp(since + offset, 7, offset)))


def records(count: int) -> list[Record]:
    return [record(offset) for offset in range(count)]


class Broker:
    """A partition's log and the one consumer of it. `script`: what the next fetches meet before any record."""

    def __init__(self, log: list[Record], first: int = 0) -> None:
        self.log, self.first, self.position = log, first, 0
        self.script: list[Exception | Callable[[], None] | None] = []
        self.unreadable: Callable[[int], bool] = lambda _: False
        self.over, self.asked = object(), 0

    async def beginning_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {AT: self.first}

    async def end_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {AT: len(self.log)}

    def seek(self, _: Any, offset: int) -> None:
        self.position = offset

    def highwater(self, _: Any) -> int:
        return len(self.log)

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        if self.script:
            met = self.script.pop(0)
            if isinstance(met, Exception):
                raise met
            if met is not None:
                met()
            return {}
        found = self.log[self.position : self.position + 50]
        if any(self.unreadable(one.offset) for one in found):
            raise CorruptRecordException
        self.position += len(found)
        return {AT: found} if found else {}

    async def batch_at(self, _: Any, __: Any, offset: int) -> Batch | None:
        self.asked += 1
        if self.unreadable(offset):
            return None
        end = offset - offset % EACH + EACH
        return Batch(self.log[offset:end], end)  # type: ignore[arg-type]

    def cut(self, to: int, then: int) -> None:
        """It crashed, its log is cut, and others write on: over a connection of its own, as aiokafka makes it without a word."""
        self.log = self.log[:to] + [record(offset, LATER) for offset in range(to, then)]
        self.over = object()


class Clock(TurnedClock):
    """Lets no time pass."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[[Broker], PartitionReader]:
    def serve(broker: Broker) -> PartitionReader:
        async def start(*_: Any, **__: Any) -> Broker:
            return broker

        async def end(_: Any) -> None:
            """It holds nothing."""

        monkeypatch.setattr(kafka_reader, "start_consumer", start)
        monkeypatch.setattr(kafka_reader, "end", end)
        monkeypatch.setattr(kafka_reader, "connection", lambda *_: broker.over)
        monkeypatch.setattr(kafka_reader, "batch_at", broker.batch_at)
        monkeypatch.setattr(kafka_salvage, "batch_at", broker.batch_at)
        return PartitionReader(Kafka(bootstrap_servers="nowhere:1"), AT, Clock())

    return serve


async def read(reader: PartitionReader, after: int, up_to: int) -> list[Entry]:
    found: list[Entry] = []
    while after < up_to:
        found += await reader.read(after, ALL)
        after = found[-1].position
    return found


@pytest.mark.parametrize("then", [90, 95, 100, 130], ids=["shorter", "not as long", "as long", "longer"])
@pytest.mark.parametrize("told", [True, False], ids=["refused", "without a word"])
async def test_a_log_that_is_cut_while_it_is_read_is_noticed_however_far_it_was_written_on(served: Any, then: int, told: bool) -> None:
    reader = served(broker := Broker(records(100)))
    await read(reader, 0, 100)
    broker.cut(90, then)
    if told or then <= 100:
        broker.script = [OffsetOutOfRangeError({AT: 100})]
    with pytest.raises(DamagedError, match="position 100 was"):
        await reader.read(100, ALL)


async def test_a_broker_that_had_the_next_offset_and_has_it_no_more_has_cut_its_log(served: Any) -> None:
    """Nothing was given by this reader yet, so there is no entry to compare."""
    reader = served(broker := Broker(records(100)))
    broker.script = [OffsetOutOfRangeError({AT: 100})]
    broker.script.insert(0, lambda: broker.cut(90, 130))
    with pytest.raises(DamagedError, match="position 100 was read, and is gone"):
        await reader.read(100, ALL)


async def test_what_was_fetched_before_the_log_was_cut_and_not_given_is_fetched_again(served: Any) -> None:
    reader = served(broker := Broker(records(60)))
    await read(reader, 0, 50)
    broker.cut(55, 70)
    entries = await read(reader, 50, 70)
    assert [entry.received_at for entry in entries] == [*range(50, 55), *range(LATER + 55, LATER + 70)]


async def test_a_connection_that_broke_beside_a_sound_log_costs_one_look(served: Any) -> None:
    reader = served(broker := Broker(records(200)))
    await read(reader, 0, 50)
    broker.over = object()
    assert [entry.position for entry in await read(reader, 50, 200)] == list(range(51, 201))
    assert broker.asked == 1


async def test_an_offset_that_retention_took_is_no_cut(served: Any) -> None:
    reader = served(broker := Broker(records(100)))
    await read(reader, 0, 50)

    def forget() -> None:
        broker.first = 80

    broker.script = [forget, OffsetOutOfRangeError({AT: 50})]
    first, *others = await read(reader, 50, 100)
    assert (first.position, first.kind) == (80, Kind.INCIDENT)
    assert [entry.position for entry in others] == list(range(81, 101))


@pytest.mark.parametrize("answers", [1, 2], ids=["once", "until it is looked from there on"])
async def test_one_bad_answer_is_no_damage(served: Any, caplog: pytest.LogCaptureFixture, answers: int) -> None:
    reader = served(broker := Broker(records(100)))
    broker.script = [None] * 5
    broker.unreadable = lambda _: 0 < broker.asked <= answers
    entries = await read(reader, 0, 100)
    assert [entry.position for entry in entries] == list(range(1, 101))
    assert {entry.kind for entry in entries} == {Kind.TAP}
    assert reader.lost.count == 0
    assert reader.failing is None
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_places_that_stay_unreadable_are_passed_over(served: Any) -> None:
    reader = served(broker := Broker(records(1000)))
    broker.unreadable = lambda offset: 20 <= offset < 30 or 40 <= offset < 50 or 100 <= offset < 400
    entries = await read(reader, 0, 1000)
    assert [entry.position for entry in entries if entry.kind is Kind.INCIDENT] == [30, 50, 400]
    assert reader.lost.count == 10 + 10 + 300
    assert reader.failing is None


async def test_what_cannot_be_read_at_the_end_is_told_with_what_comes_later(served: Any) -> None:
    reader = served(broker := Broker(records(100)))
    broker.unreadable = lambda offset: 60 <= offset < 110
    await read(reader, 0, 60)
    waiting = asyncio.create_task(reader.read(60, ALL))
    while not reader.lost.count:
        await asyncio.sleep(0)
    broker.log = records(120)
    entries = await waiting
    assert [(entry.position, entry.kind) for entry in entries[:2]] == [(110, Kind.INCIDENT), (111, Kind.TAP)]
    assert reader.lost.count == 50


@pytest.mark.slow
async def test_a_slow_broker_is_asked_batch_by_batch_for_a_bounded_stretch(served: Any) -> None:
    reader = served(broker := Broker(records(50_000)))
    broker.script = [None] * 2
    await read(reader, 0, 50_000)
    assert 0 < broker.asked <= MAX_ENTRIES // EACH + 3


async def test_what_the_store_has_is_not_lost_when_retention_took_it(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    reader = served(Broker(records(1001), first=1000))
    reader._stored = lambda: 1000
    assert [(entry.position, entry.kind) for entry in await reader.read(0, ALL)] == [(1001, Kind.TAP)]
    assert reader.lost.count == 0
    assert not caplog.text


async def test_only_what_is_behind_what_the_store_has_is_told(served: Any) -> None:
    reader = served(Broker(records(1001), first=1000))
    reader._stored = lambda: 990
    gone, _ = await reader.read(0, ALL)
    assert (gone.position, gone.kind, reader.lost.count) == (1000, Kind.INCIDENT, 10)
    assert "10 entries behind 990 are gone" in msgspec.json.decode(gone.payload, type=Incident).said


async def test_a_journal_asks_the_store_what_it_has(served: Any) -> None:
    served(Broker(records(1001), first=1000))
    topic = RawTopic("raw", "c", 1, 1 << 20, 1)
    journal = KafkaJournal(Kafka(bootstrap_servers="nowhere:1"), topic, 0, None, Clock())  # type: ignore[arg-type]
    journal.stored = lambda: (1000, "")
    assert [entry.kind for entry in await journal.read(0, ALL)] == [Kind.TAP]


async def test_a_journal_keeps_marks_and_no_payloads(served: Any) -> None:
    served(Broker(records(100)))
    topic = RawTopic("raw", "c", 1, 1 << 20, 1)
    journal = KafkaJournal(Kafka(bootstrap_servers="nowhere:1"), topic, 0, None, Clock())  # type: ignore[arg-type]
    entries = await journal.read(0, ALL)
    assert (journal.mark(entries[-1].position), journal.mark(5000)) == ("49-7-49", "")
    assert not [one for some in journal._recent for one in some if isinstance(one, Entry)]


@pytest.mark.parametrize(
    "changes",
    [{"headers": [("entry", b"\x63" + headers_of(Kind.TAP, Stamp(1, 7, 1))[0][1][1:])]}, {"key": b"\xff"}],
    ids=["another version", "no text"],
)
async def test_a_record_of_ours_that_cannot_be_read_is_told_in_its_place_and_counted(
    served: Any, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    log = [record(n) if n % 10 == 9 else record(n)._replace(**changes) for n in range(50)]
    reader = served(Broker(log))
    entries = await reader.read(0, ALL)
    kinds = [Kind.INCIDENT, Kind.TAP]
    assert [(entry.position, entry.kind) for entry in entries] == [(n + i, kinds[i]) for n in range(9, 50, 10) for i in (0, 1)]
    assert "9 entries" in msgspec.json.decode(entries[2].payload, type=Incident).said
    assert reader.lost.count == 45
    assert len(caplog.records) == 1


async def test_a_record_of_somebody_else_is_said_once_and_not_counted(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    reader = served(Broker([*[Record(n, ()) for n in range(40)], record(40)]))
    assert [entry.position for entry in await reader.read(0, ALL)] == [41]
    assert (reader.lost.count, len(caplog.records)) == (0, 1)
    assert "none of Meshscribe's" in caplog.text


async def test_an_entry_that_is_compared_is_that_of_its_position(served: Any) -> None:
    """A batch without the record that was asked for says nothing of it."""
    await served(Broker(records(100))).expect(50, "49-7-49")
    with pytest.raises(DamagedError, match="is not the entry that was processed"):
        await served(Broker(records(100))).expect(50, "another")
    broker = Broker(records(100))
    broker.log[49] = broker.log[50]
    await served(broker).expect(50, "49-7-49")
