"""Reads one partition of the raw topic in order, from any position, with a consumer of its own that belongs to no group.

What was fetched and did not fit into one read waits for the next; a fetch brings FETCH_BYTES at most, and one more is on its way.
What retention took before it was read, and what the log has damaged, is told by an entry in its place (Kind.INCIDENT), at the last position
that is gone: whoever reads from there again finds it there again, and a store that has it takes it for the repeat that it is.

A broker that comes back from a crash may have cut its log, and written on. So the last entry given is compared with what is at its
position whenever the connection is another one: what is given next is what follows it, or DamagedError.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, OffsetOutOfRangeError, RecordTooLargeError

from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import DamagedError, RetryableError
from collector.journal.kafka_salvage import next_readable
from collector.journal.kafka_topic import entry_of, is_ours, mark_of
from collector.kafka.clients import end, start_consumer
from collector.kafka.faults import AWAY, said
from collector.kafka.private import batch_at, connection
from collector.messages.entry import Entry, Incident, Kind
from collector.settings import Kafka

log = logging.getLogger("meshscribe.journal")

CLOSED = "journal: it is closed"
FETCH_BYTES = 4 << 20
WAIT_MS = 1000
RETRY_SECONDS = 0.5
MAX_ENTRIES = 4096  # that one read returns, however small they are
MAX_GAPS = 100  # that are remembered to be told
LOOK_AFTER = 5  # fetches without a record, after which it is asked whether there are none
_DAMAGED = (CorruptRecordException, RecordTooLargeError)  # a fetch brings at least one batch whole, so none is too large


class Gap(NamedTuple):
    """Positions behind `after` up to `up_to` are gone."""

    after: int
    up_to: int
    said: str


class Lost:
    """Positions that were gone before they could be read, each counted once however many readers come upon it."""

    def __init__(self) -> None:
        self.count = self._up_to = 0

    def add(self, after: int, up_to: int) -> int:
        """All behind `after` up to there. Returns how many are new."""
        new = max(0, up_to - max(after, self._up_to))
        self._up_to = max(self._up_to, up_to)
        self.count += new
        return new


class PartitionReader:
    """Entries say the time as their writers do. `lost` counts for the readers of this partition that come behind as well."""

    def __init__(
        self, settings: Kafka, at: TopicPartition, clock: Clock, lost: Lost | None = None, stored: Callable[[], int] = lambda: 0
    ) -> None:
        """`stored`: up to there retention takes nothing that is missed."""
        self._settings, self._at, self._clock = settings, at, clock
        self._consumer: AIOKafkaConsumer | None = None
        self._fetched: deque[ConsumerRecord] = deque()
        self._next: int | None = None  # offset that the next record must not be below; None: nothing was read yet
        self._alone = asyncio.Lock()
        self._closed = False
        self._given: tuple[int, str] | None = None  # the position of the last entry given, and its mark
        self._over: object | None = None  # the connection over which that entry was seen to be there still
        self._cut_at = -1  # offset that the broker had, and has no more
        self._doubted = set[int]()  # offsets that could not be read once, since an entry was given
        self.lost = lost if lost is not None else Lost()
        self._stored = stored
        self.gaps = deque[Gap](maxlen=MAX_GAPS)  # the newest that were found
        self._gap: Gap | None = None  # which is to be told
        self._offset = 0  # of the next record to fetch
        self._careful_to = 0  # below this offset something cannot be read: batches come one by one
        self._idle = 0  # fetches without a record, one after the other
        self.failing: str | None = None  # why nothing can be read now
        self._complaints = Complaints(log, clock)
        self._name = f"partition {at.partition} of {at.topic}"

    @property
    def end(self) -> int | None:
        """The last position, as of the last answer of a broker."""
        if self._consumer is None or self._next is None:
            return None
        end: int | None = self._consumer.highwater(self._at)
        return end

    async def read(self, after: int, max_bytes: int, up_to: int | None = None) -> Sequence[Entry]:
        """As Journal.read; nothing, where all up to `up_to` is read or gone.

        Raises DamagedError: there are fewer records than were processed, or others; RetryableError: it is closed.
        """
        async with self._alone:
            while not self._closed:
                try:
                    found = await self._read(after, max_bytes)
                except ConsumerStoppedError:
                    continue
                except AWAY as error:
                    if isinstance(error, OffsetOutOfRangeError) and error.args[:1] == ({self._at: self._offset},):
                        self._cut_at = self._offset
                    self._fails(said(error))
                    await self._restart()
                else:
                    if found or (up_to is not None and self._offset >= up_to):
                        return found
        raise RetryableError(CLOSED)

    async def last(self) -> int:
        """The last position that there is. Waits for a broker that is away."""
        return (await self.kept())[1]

    async def kept(self) -> tuple[int, int]:
        """Behind which position it begins, and the last that there is. Waits for a broker that is away."""
        async with self._alone:
            while not self._closed:
                try:
                    return await self._extent(await self._started())
                except AWAY as error:
                    self._fails(said(error))
                    await self._restart()
        raise RetryableError(CLOSED)

    async def expect(self, position: int, mark: str) -> None:
        """That the entry there, if it is not gone, is the one with this mark, now and whenever reading begins anew.

        Raises DamagedError: it is another one; RetryableError.
        """
        async with self._alone:
            try:
                consumer = await self._started()
                first = (await consumer.beginning_offsets([self._at]))[self._at]
                self._given = position, mark
                if await self._is_another(consumer, first):
                    raise DamagedError(
                        f"{self._name}: at position {position} is not the entry that was processed: the log lost its end on the broker and"
                        " was written on. What it took since then is not processed. Give the raw topic another name (kafka.raw_topic)"
                    )
            except AWAY as error:
                raise RetryableError(f"journal: partition {self._at.partition} cannot be read: {said(error)}") from error

    async def close(self) -> None:
        """A read that waits raises RetryableError."""
        self._closed = True
        if self._consumer is not None:
            await end(self._consumer)

    async def _read(self, after: int, max_bytes: int) -> list[Entry]:
        consumer = await self._started()
        if self._next != after:
            await self._seek(consumer, after)
        if not self._fetched:
            await self._fetch(consumer)
        return self._taken(max_bytes)

    async def _fetch(self, consumer: AIOKafkaConsumer) -> None:
        if self._offset < self._careful_to:
            await self._fetch_carefully(consumer)
            return
        try:
            fetched = [record for records in (await consumer.getmany(self._at, timeout_ms=WAIT_MS)).values() for record in records]
        except _DAMAGED:
            await self._be_careful(consumer)
            return
        if not fetched:
            await self._look(consumer)
        elif connection(consumer, self._at) is not self._over:
            self._next = None  # the broker was away meanwhile: _seek looks whether its log is as it was
        elif not self._take(fetched):
            await self._be_careful(consumer)  # retention took more, or a batch names offsets that are not its own

    def _take(self, fetched: Sequence[ConsumerRecord]) -> bool:
        """What follows without a gap. False: there is nothing."""
        self._idle, self.failing = 0, None
        for record in fetched:
            if record.offset != self._offset:
                break
            self._fetched.append(record)
            self._offset += 1
        return bool(self._fetched)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Nothing came. A broker that cannot read a place says so to aiokafka, and that to nobody."""
        self._idle += 1
        known = consumer.highwater(self._at)
        if self._idle >= (LOOK_AFTER if known == self._offset else 2):
            await self._be_careful(consumer)

    async def _be_careful(self, consumer: AIOKafkaConsumer) -> None:
        """From here on batch by batch, if there is any."""
        self._idle = 0
        first, end = await self._extent(consumer)
        if not first <= self._offset <= end:
            self._next = None  # for _seek to look at
        elif self._offset < end:
            self._careful_to = min(end, self._offset + MAX_ENTRIES)

    async def _fetch_carefully(self, consumer: AIOKafkaConsumer) -> None:
        """One batch. At the end, or behind a damaged place, the consumer begins anew."""
        batch = await batch_at(consumer, self._at, self._offset)
        if connection(consumer, self._at) is not self._over:
            self._next = None
            return
        if batch is not None:
            if self._take(batch.records) and self._offset < self._careful_to:
                return
        elif self._offset not in self._doubted:
            await self._doubt()
            return
        else:
            await self._pass_over(consumer)
        self._careful_to = 0
        await end(consumer)
        self._consumer = None
        consumer = await self._started()
        await self._bind(consumer)
        consumer.seek(self._at, self._offset)

    async def _doubt(self) -> None:
        """One answer is no verdict: a broker may be ill for a moment. Reading begins anew, and what cannot be read then is damaged."""
        self._doubted.add(self._offset)
        doubt = f"journal: {self._name} could not be read behind position {self._offset}, which is tried once more"
        self._complaints.tell("doubt", doubt, logging.WARNING)
        await self._restart()

    async def _pass_over(self, consumer: AIOKafkaConsumer) -> None:
        """What cannot be read from here on."""
        _, end = await self._extent(consumer)
        good = await next_readable(consumer, self._at, self._offset, end) if self._offset < end else self._offset
        if good is None:
            raise CorruptRecordException(f"nothing of it can be read behind position {self._offset}")
        if good > self._offset:
            after = self._gap.after if self._gap is not None else self._offset
            self._tell(Gap(after, good, _damaged(self._at, after, good)))
            self._offset = good
        self.failing = None

    def _taken(self, max_bytes: int) -> list[Entry]:
        found: list[Entry] = []
        size = 0
        while self._fetched and len(found) < MAX_ENTRIES:
            record = self._fetched[0]
            size += len(record.value or b"")
            if size > max_bytes and found:
                break
            self._fetched.popleft()
            entry = entry_of(record)
            if entry is None:
                self._pass(record)
                continue
            if self._gap is not None:
                found.append(_told(self._gap, entry))
                self._gap = None
            self._next = entry.position
            found.append(entry)
        if found:
            self._given = found[-1].position, mark_of(found[-1])
            self._doubted.clear()
        return found

    def _pass(self, record: ConsumerRecord) -> None:
        """A record without an entry. One of somebody else is none of our losses."""
        if is_ours(record):
            after = self._gap.after if self._gap is not None else record.offset
            self._tell(Gap(after, record.offset + 1, _unknown(self._at, after, record.offset + 1)), "unknown")
        else:
            passed = f"journal: the record at {self._at} offset {record.offset} is none of Meshscribe's: it is passed over"
            self._complaints.tell("foreign", passed)

    async def _seek(self, consumer: AIOKafkaConsumer, after: int) -> None:
        self._fetched.clear()
        first, last = await self._bind(consumer, after)
        self._gap, self._careful_to = None, 0
        missed = max(after, self._stored())
        if first > missed:
            self._tell(Gap(missed, first, _forgotten(self._at, missed, first)))
        self._offset = max(after, first)
        if self._offset in self._doubted:
            self._careful_to = min(last, self._offset + 1)
        consumer.seek(self._at, self._offset)
        self._next = after

    async def _bind(self, consumer: AIOKafkaConsumer, after: int = 0) -> tuple[int, int]:
        """As _extent. From here on, what comes over the connection of now follows what was given. Raises DamagedError."""
        first, last = await self._extent(consumer)
        self._over = connection(consumer, self._at)  # before the look: over one that comes later it is looked again
        processed = max(after, self._given[0] if self._given is not None else 0)
        if processed > last:
            raise DamagedError(
                f"the raw topic's partition {self._at.partition} ends at {last}, but position {processed} was processed: the topic was made"
                " anew or lost records. Give the new one another name (kafka.raw_topic)"
            )
        if first <= self._cut_at or await self._is_another(consumer, first):
            raise DamagedError(
                f"{self._name}: position {processed} was read, and is gone or another entry now: the log lost its end on the broker and was"
                " written on. It is read again from what is stored on"
            )
        return first, last

    async def _is_another(self, consumer: AIOKafkaConsumer, first: int) -> bool:
        """Whether the last entry given is not what is there now. What is gone, or cannot be read, is not known to be another one."""
        position, mark = self._given or (0, "")
        batch = await batch_at(consumer, self._at, position - 1) if first < position else None
        record = batch.records[0] if batch is not None and batch.records else None
        there = entry_of(record) if record is not None and record.offset == position - 1 else None
        return there is not None and mark_of(there) != mark

    async def _extent(self, consumer: AIOKafkaConsumer) -> tuple[int, int]:
        """The first offset, and that behind the last."""
        first = (await consumer.beginning_offsets([self._at]))[self._at]
        return int(first), int((await consumer.end_offsets([self._at]))[self._at])

    def _tell(self, gap: Gap, kind: str = "") -> None:
        """`kind`: of which one line a minute is enough."""
        self._gap = gap
        if self.lost.add(gap.after, gap.up_to):
            self.gaps.append(gap)
            self._complaints.tell(kind or gap.said, f"journal: {gap.said}")

    def _fails(self, why: str) -> None:
        self.failing = f"partition {self._at.partition} cannot be read: {why}"
        self._complaints.tell(self.failing, f"journal: {self.failing}; trying again", logging.WARNING)

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await start_consumer(  # where an offset is gone, _seek looks why
                self._settings, [self._at], auto_offset_reset="none", max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES
            )
        return self._consumer

    async def _restart(self) -> None:
        consumer, self._consumer, self._next = self._consumer, None, None
        if consumer is not None:
            await end(consumer)
        await self._clock.sleep(RETRY_SECONDS)


def _forgotten(at: TopicPartition, after: int, up_to: int) -> str:
    where = f"partition {at.partition} of {at.topic} begins behind position {up_to}"
    return f"{where}: {up_to - after} entries behind {after} are gone, retention was shorter than the delay"


def _damaged(at: TopicPartition, after: int, up_to: int) -> str:
    where = f"partition {at.partition} of {at.topic} is damaged behind position {after}"
    return f"{where}: {up_to - after} entries cannot be read, the broker's log is not as it was written; what is behind {up_to} goes on"


def _unknown(at: TopicPartition, after: int, up_to: int) -> str:
    where = f"partition {at.partition} of {at.topic} holds what this version cannot read behind position {after}"
    return f"{where}: {up_to - after} entries, of another version or not as Meshscribe writes them; what is behind {up_to} goes on"


def _told(gap: Gap, behind: Entry) -> Entry:
    """The entry that tells of what is gone; its time is that of the first one behind it."""
    incident = Incident(behind.received_at, behind.received_at, gap.said)
    return behind._replace(position=gap.up_to, kind=Kind.INCIDENT, source="", payload=msgspec.json.encode(incident), sender="")
