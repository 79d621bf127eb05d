"""The raw topic's reader: what is gone before it is read, and records that nobody of ours wrote. Needs no broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from collector.journal import kafka_reader
from collector.journal.kafka_reader import Lost, PartitionReader
from collector.journal.kafka_topic import Stamp, entry_of, headers_of
from collector.messages.entry import Entry, Incident, Kind
from collector.settings import Kafka
from tests.support.clocks import TurnedClock

AT = TopicPartition("raw", 0)
STAMP = Stamp(1_790_000_000_000_000, 7, 42)


class Record(NamedTuple):
    """As much of a ConsumerRecord as is looked at."""

    offset: int
    key: bytes | None = b"n"
    value: bytes | None = b"x"
    headers: Sequence[tuple[str, Any]] = headers_of(Kind.TAP, STAMP)


class Consumer:
    """A partition with what retention left of it; `failures` are what the next fetches meet."""

    def __init__(self, records: list[Record], failures: int = 0) -> None:
        self.records, self.failures, self._next = records, failures, 0

    async def beginning_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {AT: self.records[0].offset}

    async def end_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {AT: self.records[-1].offset + 1}

    def seek(self, _: Any, offset: int) -> None:
        self._next = offset

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Record]]:
        if self.failures:
            self.failures -= 1
            raise KafkaConnectionError
        return {AT: [record for record in self.records if record.offset >= self._next]}

    async def stop(self) -> None:
        """It holds nothing."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(kafka_reader, "connection", lambda *_: None)

    def make(consumer: Consumer, lost: Lost | None = None) -> PartitionReader:
        class Reader(PartitionReader):
            async def _started(self) -> Any:
                self._consumer = consumer
                return consumer

            async def _restart(self) -> None:
                self._consumer = self._next = None

        return Reader(Kafka(bootstrap_servers="nowhere:1"), AT, TurnedClock(), lost)

    return make


async def test_what_is_gone_is_told_in_its_place_and_counted_once(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    lost, records = Lost(), [Record(6), Record(7)]
    for failures in (2, 0):  # the same is met again behind a restart: of the consumer, and of all
        found = await made(Consumer(records, failures), lost).read(2, 1 << 20)
        assert [(entry.position, entry.kind) for entry in found] == [(6, Kind.INCIDENT), (7, Kind.TAP), (8, Kind.TAP)]
        incident = msgspec.json.decode(found[0].payload, type=Incident)
        assert (incident.from_us, incident.to_us) == (STAMP.received_at, STAMP.received_at)
        assert "4 entries behind 2 are gone" in incident.said
        assert found[0][3:4] + found[0][7:] == found[1][3:4] + found[1][7:], "stamped as the next one is"
        assert lost.count == 4
    assert caplog.text.count("are gone") == 1
    await made(Consumer([Record(9)]), lost).read(2, 1 << 20)
    assert lost.count == 7


async def test_where_nothing_is_gone_nothing_is_told(made: Any) -> None:
    reader = made(Consumer([Record(6), Record(7)]))
    assert [entry.position for entry in await reader.read(6, 1)] == [7]
    assert [entry.position for entry in await reader.read(7, 1)] == [8]
    assert reader.lost.count == 0


@pytest.mark.parametrize(
    "record",
    [Record(0, headers=()), Record(0, headers=[("entry", None)]), Record(0, headers=[("entry", b"")]), Record(0, key=b"\xff")],
    ids=["no header", "no value", "empty", "no text"],
)
def test_a_record_that_is_none_of_ours_is_none(record: Record) -> None:
    assert entry_of(record) is None


def test_a_record_without_key_and_value_is_an_entry() -> None:
    assert entry_of(Record(0, None, None)) == Entry(1, Kind.TAP, "", STAMP.received_at, b"", None, "", STAMP.writer, STAMP.elapsed_us)
