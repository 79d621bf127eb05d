"""The Kafka journal beyond what every journal does: outages, takeovers, a topic that is not what it was."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from collector.clock import SystemClock
from collector.correlate import Correlator, Limits
from collector.demo.kafka_broker import KafkaBroker
from collector.errors import DamagedError, FencedError, JournalFullError, RetryableError, SettingsError
from collector.journal import Checkpoint
from collector.journal.kafka import KafkaJournal
from collector.journal.kafka_checkpoints import CHUNK_BYTES
from collector.journal.kafka_topic import RawTopic, check_ingest, find_raw_topic
from collector.journal.kafka_writer import STALLED_SECONDS, RawWriter
from collector.messages.entry import Entry, Kind
from collector.roles.parts import patiently
from collector.settings import Ingest, Kafka
from tests.support.clocks import TurnedClock
from tests.support.kafka import new_topics, read_all, settings_for

MIB = 1 << 20
ALL = 64 * MIB


class Bed:
    """Raw topics with their writers and journals, which end with the test."""

    def __init__(self, kafka: KafkaBroker, stack: AsyncExitStack) -> None:
        self.kafka, self._stack = kafka, stack
        self.settings: Kafka

    async def topics(self, partitions: int = 1, **changes: object) -> None:
        self.settings = await new_topics(self.kafka.bootstrap, partitions, **changes)

    async def writer(self, max_waiting_bytes: int = ALL, clock: TurnedClock | None = None) -> RawWriter:
        writer = RawWriter(self.settings, await self._topic(), clock or TurnedClock(), max_waiting_bytes)
        self._stack.push_async_callback(writer.close)
        return writer

    async def _topic(self) -> RawTopic:
        """As the roles find it: a broker that has just begun may not be ready."""
        return await patiently(lambda: find_raw_topic(self.settings), SystemClock())

    async def journal(self, writer: RawWriter, partition: int = 0) -> KafkaJournal:
        journal = KafkaJournal(self.settings, await self._topic(), partition, writer, SystemClock())
        self._stack.push_async_callback(journal.close)
        return journal

    async def send(self, value: bytes) -> None:
        """A record that is none of ours."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap) as producer:
            await producer.send_and_wait(self.settings.raw_topic, value, partition=0)

    async def forget(self, before: int) -> None:
        """As retention does: the records below this offset are gone."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        await admin.delete_records({TopicPartition(self.settings.raw_topic, 0): RecordsToDelete(before_offset=before)})
        await admin.close()


@pytest.fixture
async def bed(kafka: KafkaBroker) -> AsyncIterator[Bed]:
    async with AsyncExitStack() as stack:
        yield Bed(kafka, stack)


async def read(journal: KafkaJournal, after: int, count: int) -> list[Entry]:
    found: list[Entry] = []
    while len(found) < count:
        found += await journal.read(found[-1].position if found else after, ALL)
    return found


async def test_all_of_one_proxy_is_in_one_partition_in_order(bed: Bed) -> None:
    await bed.topics(4)
    writer = await bed.writer()
    sources = [f"node-{n}" for n in range(12)]
    await asyncio.gather(*(writer.append(Kind.TAP, source, b"%d" % n) for n in range(30) for source in sources))
    records = await read_all(bed.kafka.bootstrap, bed.settings.raw_topic)
    assert len({(record.key, record.partition) for record in records}) == len(sources)
    assert len({record.partition for record in records}) > 1
    for source in sources:
        assert [record.value for record in records if record.key == source.encode()] == [b"%d" % n for n in range(30)]


async def test_while_the_broker_is_away_what_was_taken_in_waits_and_arrives_once_in_order(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    await writer.append(Kind.ACCESS_LOG, "n", b"0")
    bed.kafka.stop()
    try:
        waiting = [asyncio.create_task(writer.append(Kind.ACCESS_LOG, "n", b"%d" % n)) for n in range(1, 50)]
        await asyncio.sleep(0)
        assert writer.waiting_bytes > 0
    finally:
        bed.kafka.start()
    assert await asyncio.gather(*waiting) == list(range(2, 51))
    assert writer.waiting_bytes == 0
    assert [r.value for r in await read_all(bed.kafka.bootstrap, bed.settings.raw_topic)] == [b"%d" % n for n in range(50)]


async def test_a_stalled_partition_refuses_tap_batches_but_takes_access_logs_up_to_the_bound(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer(max_waiting_bytes=2 * MIB)
    await writer.append(Kind.TAP, "n", b"x")
    bed.kafka.stop()
    try:
        first = asyncio.create_task(writer.append(Kind.TAP, "n", b"first"))
        while writer.stalled_seconds <= STALLED_SECONDS:
            await asyncio.sleep(0.05)
        with pytest.raises(JournalFullError, match="acknowledged nothing"):
            await writer.append(Kind.TAP, "n", b"second")
        log = asyncio.create_task(writer.append(Kind.ACCESS_LOG, "n", bytes(MIB)))
        await asyncio.sleep(0)
        with pytest.raises(JournalFullError, match="max_waiting_bytes"):
            await writer.append(Kind.ACCESS_LOG, "n", bytes(MIB))
    finally:
        bed.kafka.start()
    assert [await first, await log] == [2, 3]
    assert await writer.append(Kind.TAP, "n", b"second") == 4


async def test_a_writer_that_is_to_end_refuses_what_kafka_does_not_take(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    await writer.append(Kind.TAP, "n", b"x")
    bed.kafka.stop()
    try:
        waiting = [asyncio.create_task(writer.append(Kind.ACCESS_LOG, "n", bytes(MIB))) for _ in range(3)]
        writer.end_in(0.1)
        for one in waiting:
            with pytest.raises(RetryableError, match="closed"):
                await one
        assert writer.waiting_bytes == 0
        await writer.close()
    finally:
        bed.kafka.start()


async def test_what_retention_took_before_it_was_read_is_told_in_its_place(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    for number in range(10):
        await writer.append(Kind.TAP, "n", b"%d" % number)
    await bed.forget(6)
    for _ in range(2):
        entries = await read(await bed.journal(writer), 2, 5)
        assert [(entry.position, entry.kind) for entry in entries] == [(6, Kind.INCIDENT)] + [(n, Kind.TAP) for n in range(7, 11)]
        assert b"4 entries behind 2 are gone" in entries[0].payload


async def test_a_topic_that_ends_before_what_was_processed_is_refused(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    await writer.append(Kind.TAP, "n", b"x")
    with pytest.raises(DamagedError, match="made anew"):
        await (await bed.journal(writer)).read(500, ALL)


async def test_a_record_of_somebody_else_is_passed_over_and_keeps_its_position(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    await writer.append(Kind.TAP, "n", b"ours")
    await bed.send(b"theirs")
    await writer.append(Kind.TAP, "n", b"ours too")
    entries = await read(await bed.journal(writer), 0, 2)
    assert [(entry.position, entry.payload) for entry in entries] == [(1, b"ours"), (3, b"ours too")]


async def test_a_receiver_whose_clock_is_a_day_ahead_neither_drags_the_others_nor_holds_them_up(bed: Bed) -> None:
    await bed.topics()
    right, wrong = TurnedClock(), TurnedClock()
    wrong.step(86_400_000_000)
    one, other = await bed.writer(clock=right), await bed.writer(clock=wrong)
    true: list[int] = []
    for number in range(20):
        if number != 10:  # from here on the other one is alone, for a while, and then it is gone
            right.now += 500_000
            wrong.now += 500_000
        else:
            right.now += 20_000_000
            wrong.now += 20_000_000
        for writer in (one, other) if number < 5 else (other,) if number < 10 else (one,):
            await writer.append(Kind.TICK, "n", b"")
            true.append(right.now)
    entries = await read(await bed.journal(one), 0, len(true))
    correlator, times = Correlator(Limits()), list[int]()
    for entry in entries:
        correlator.feed(entry)
        times.append(correlator.received.now)
    assert times == sorted(times)
    assert times[:10] == true[:10]
    for (before, now), (earlier, later) in zip(pairwise(times), pairwise(true), strict=True):
        assert now - before >= (later - earlier) // 2
    assert times[-1] - true[-1] < 86_400_000_000


async def test_a_writers_stamps_name_it_and_never_go_back(bed: Bed) -> None:
    await bed.topics()
    clock = TurnedClock()
    writer, other = await bed.writer(clock=clock), await bed.writer()
    await writer.append(Kind.TAP, "n", b"1")
    clock.step(-3_600_000_000)
    clock.now += 1_000_000
    await writer.append(Kind.TAP, "n", b"2")
    await other.append(Kind.TAP, "n", b"3")
    first, second, third = await read(await bed.journal(writer), 0, 3)
    assert first.writer == second.writer != third.writer
    assert (second.received_at - first.received_at, second.elapsed_us - first.elapsed_us) == (500_000, 1_000_000)
    assert writer.ahead_us == 3_600_000_000 - 500_000


async def test_the_owner_that_was_replaced_can_save_no_checkpoint(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    old, new = await bed.journal(writer), await bed.journal(writer)
    await old.save_checkpoint(Checkpoint(1, b"of the old"))
    assert await new.checkpoint(5) == Checkpoint(1, b"of the old")
    with pytest.raises(FencedError):
        await old.save_checkpoint(Checkpoint(9, b"too late"))
    assert await new.checkpoint(10) == Checkpoint(1, b"of the old")


async def test_compaction_takes_all_but_the_checkpoints_that_count(bed: Bed) -> None:
    await bed.topics()
    writer = await bed.writer()
    journal = await bed.journal(writer)
    for number, chunks in enumerate((3, 1, 2, 0, 5, 1, 1), 1):
        state = bytes([number]) * (chunks * CHUNK_BYTES)
        await journal.save_checkpoint(Checkpoint(number, state))
        if number % 2:
            await journal.truncate(number)
        assert await journal.checkpoint(number) == Checkpoint(number, state)
        note = await journal._checkpoints._noted()
        generations = Counter(await compacted(bed))
        counting = {saved.generation: saved.chunks for saved in (note.last, note.kept) if saved is not None}
        assert {name: generations[name] for name in counting} == counting
        assert len(generations) <= 3
    assert await (await bed.journal(writer)).checkpoint(9) == Checkpoint(7, bytes([7]) * CHUNK_BYTES)


async def compacted(bed: Bed) -> list[str]:
    """The generations of the chunks that compaction would leave: of each key the newest, unless that is a tombstone."""
    newest = {record.key: record for record in await read_all(bed.kafka.bootstrap, bed.settings.checkpoints_topic)}
    return [dict(record.headers)["generation"].decode() for record in newest.values() if record.value is not None]


async def test_two_partitions_keep_their_checkpoints_apart(bed: Bed) -> None:
    await bed.topics(2)
    writer = await bed.writer()
    journals = [await bed.journal(writer, number) for number in range(2)]
    for number, journal in enumerate(journals):
        await journal.save_checkpoint(Checkpoint(number + 1, b"state %d" % number))
    assert [await journal.checkpoint(9) for journal in journals] == [Checkpoint(1, b"state 0"), Checkpoint(2, b"state 1")]


async def test_a_missing_topic_is_named(kafka: KafkaBroker) -> None:
    settings = settings_for(kafka.bootstrap)
    with pytest.raises(SettingsError, match="kafka topics --create"):
        await find_raw_topic(settings)


async def test_a_batch_that_the_topic_would_refuse_is_a_fault_of_the_settings(bed: Bed) -> None:
    await bed.topics(raw_record_bytes=MIB)
    topic = await find_raw_topic(bed.settings)
    with pytest.raises(SettingsError, match=r"ingest\.max_batch_bytes: 16777216 is more than") as caught:
        check_ingest(topic, Ingest())
    room = int(str(caught.value).split("lower it to ")[1].split(",")[0])
    check_ingest(topic, Ingest(max_batch_bytes=room))
    writer = await bed.writer()
    assert await writer.append(Kind.TAP, "n" * 1024, bytes(room)) == 1


@pytest.mark.parametrize(("damaged", "found"), [("newer", Checkpoint(1, b"older")), ("older", Checkpoint(2, b"newer" * CHUNK_BYTES))])
async def test_a_checkpoint_that_the_disk_damaged_gives_way_to_the_one_before_it(bed: Bed, damaged: str, found: Checkpoint) -> None:
    await bed.topics()
    writer = await bed.writer()
    journal = await bed.journal(writer)
    await journal.save_checkpoint(Checkpoint(1, b"older"))
    await journal.truncate(1)
    await journal.save_checkpoint(Checkpoint(2, b"newer" * CHUNK_BYTES))
    await journal.close()
    bed.kafka.stop()
    flip(bed.kafka, bed.settings.checkpoints_topic, damaged.encode())
    bed.kafka.start()
    async with asyncio.timeout(60):
        assert await (await bed.journal(await bed.writer())).checkpoint(9) == found


async def test_where_no_checkpoint_can_be_read_there_is_none(bed: Bed) -> None:
    await bed.topics()
    journal = await bed.journal(await bed.writer())
    await journal.save_checkpoint(Checkpoint(1, b"older"))
    await journal.close()
    bed.kafka.stop()
    flip(bed.kafka, bed.settings.checkpoints_topic, b"older")
    bed.kafka.start()
    again = await bed.journal(await bed.writer())
    async with asyncio.timeout(60):
        assert await again.checkpoint(9) is None
        await again.save_checkpoint(Checkpoint(3, b"made anew"))
        assert await again.checkpoint(9) == Checkpoint(3, b"made anew")


def flip(broker: KafkaBroker, topic: str, what: bytes) -> None:
    """Damages one bit of this in the topic's first partition."""
    segment = broker._folder / "data" / f"{topic}-0" / "00000000000000000000.log"
    data = bytearray(segment.read_bytes())
    data[data.index(what)] ^= 1
    segment.write_bytes(data)
