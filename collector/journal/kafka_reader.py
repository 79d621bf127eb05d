"""Reads one partition of the raw topic in order, from any position, with a consumer of its own that belongs to no group.

What was fetched and did not fit into one read waits for the next; a fetch brings FETCH_BYTES at most, and one more is on its way.
What retention took before it was read is told by an entry in its place (Kind.INCIDENT), at the last position that is gone: whoever reads
from there again finds it there again, and a store that has it takes it for the repeat that it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError

from collector.clock import Clock
from collector.errors import DamagedError, RetryableError
from collector.journal.kafka_records import entry_of
from collector.kafka.clients import end, start_consumer
from collector.kafka.faults import AWAY, said
from collector.messages.entry import Entry, Incident, Kind
from collector.settings import Kafka

log = logging.getLogger("meshscribe.journal")

CLOSED = "journal: it is closed"
FETCH_BYTES = 4 << 20
WAIT_MS = 1000
RETRY_SECONDS = 0.5
MAX_ENTRIES = 4096  # that one read returns, however small they are


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

    def __init__(self, settings: Kafka, at: TopicPartition, clock: Clock, lost: Lost | None = None) -> None:
        self._settings, self._at, self._clock = settings, at, clock
        self._consumer: AIOKafkaConsumer | None = None
        self._fetched: deque[ConsumerRecord] = deque()
        self._next: int | None = None  # offset that the next record must not be below; None: nothing was read yet
        self._alone = asyncio.Lock()
        self._closed = False
        self.lost = lost if lost is not None else Lost()
        self._gap: tuple[int, int] | None = None  # positions behind the first up to the second are gone, and that is to be told

    @property
    def end(self) -> int | None:
        """The last position, as of the last answer of a broker."""
        if self._consumer is None or self._next is None:
            return None
        end: int | None = self._consumer.highwater(self._at)
        return end

    async def read(self, after: int, max_bytes: int) -> Sequence[Entry]:
        """As Journal.read. Raises DamagedError: there are fewer records than were processed; RetryableError: it is closed."""
        async with self._alone:
            while not self._closed:
                try:
                    found = await self._read(after, max_bytes)
                except ConsumerStoppedError:
                    continue
                except AWAY as error:
                    log.warning("journal: partition %d cannot be read, trying again: %s", self._at.partition, said(error))
                    await self._restart()
                else:
                    if found:
                        return found
        raise RetryableError(CLOSED)

    async def last(self) -> int:
        """The last position that there is. Waits for a broker that is away."""
        async with self._alone:
            while not self._closed:
                try:
                    consumer = await self._started()
                    return int((await consumer.end_offsets([self._at]))[self._at])
                except AWAY as error:
                    log.warning("journal: partition %d cannot be asked, trying again: %s", self._at.partition, said(error))
                    await self._restart()
        raise RetryableError(CLOSED)

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
            for records in (await consumer.getmany(self._at, timeout_ms=WAIT_MS)).values():
                self._fetched.extend(records)
        return self._taken(max_bytes)

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
                log.error("journal: the record at %s offset %d is none of Meshscribe's: it is passed over", self._at, record.offset)
                continue
            if self._gap is not None:
                found.append(_told(self._at, self._gap, entry))
                self._gap = None
            self._next = entry.position
            found.append(entry)
        return found

    async def _seek(self, consumer: AIOKafkaConsumer, after: int) -> None:
        self._fetched.clear()
        first = (await consumer.beginning_offsets([self._at]))[self._at]
        last = (await consumer.end_offsets([self._at]))[self._at]
        if after > last:
            raise DamagedError(
                f"the raw topic's partition {self._at.partition} ends at {last}, but position {after} was processed: the topic was made"
                " anew or lost records. Give the new one another name (kafka.raw_topic)"
            )
        self._gap = (after, first) if first > after else None
        if first > after and self.lost.add(after, first):
            log.error("journal: %s", _said(self._at, after, first))
        consumer.seek(self._at, max(after, first))
        self._next = after

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await start_consumer(
                self._settings, [self._at], auto_offset_reset="earliest", max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES
            )
            self._next = None
        return self._consumer

    async def _restart(self) -> None:
        consumer, self._consumer, self._next = self._consumer, None, None
        if consumer is not None:
            await end(consumer)
        await self._clock.sleep(RETRY_SECONDS)


def _said(at: TopicPartition, after: int, up_to: int) -> str:
    where = f"partition {at.partition} of {at.topic} begins behind position {up_to}"
    return f"{where}: {up_to - after} entries behind {after} are gone, retention was shorter than the delay"


def _told(at: TopicPartition, gap: tuple[int, int], behind: Entry) -> Entry:
    """The entry that tells of what is gone; its time is that of the first one behind it."""
    incident = Incident(behind.received_at, behind.received_at, _said(at, *gap))
    return behind._replace(position=gap[1], kind=Kind.INCIDENT, source="", payload=msgspec.json.encode(incident), sender="")
