"""The journal as one SQLite file: for one machine.

Guarantees: what `append` returned is on the disk; positions 1, 2, 3 … have no holes and are never used twice; `received_at` never goes
back, also across restarts. Memory is bounded by `max_waiting_bytes` and the live tail. At the quota, or when the disk is full, appends
raise JournalFullError and work again as soon as there is room.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from collector.clock import Clock, ReceivedTime
from collector.errors import DamagedError, DiskError, JournalFullError, RetryableError, SettingsError, unusable
from collector.health import SILENT_SECONDS, Component, LastRefusal
from collector.journal import Checkpoint, Standing, checkpoints, standing, truncation
from collector.journal.disk import Disk
from collector.journal.faults import BadPageError
from collector.journal.file import Opened, open_file
from collector.journal.reader import Reader
from collector.journal.tail import Tail, weight
from collector.journal.truncation import shrink
from collector.journal.writer import CLOSED, Append, Writer, fail, resolve
from collector.messages.entry import Entry, Incident, Kind
from collector.settings import Journal as JournalSettings

log = logging.getLogger("meshscribe.journal")

TAIL_BYTES = 32 << 20


def _nobody(_: int) -> None:
    """Nobody is told."""


async def open_journal(
    settings: JournalSettings, clock: Clock, max_waiting_bytes: int, silent_seconds: float = SILENT_SECONDS
) -> SqliteJournal:
    """Opens or creates the file. `silent_seconds`: without an answer for so long its disk counts as hung.

    Raises SettingsError, DamagedError (foreign, newer or damaged), RetryableError (in use elsewhere).
    """
    if settings.keep_bytes > settings.quota_bytes // 2:
        raise SettingsError(["journal.keep_bytes: must be at most half of journal.quota_bytes, or new entries would find no room"])
    try:
        opened = await asyncio.to_thread(open_file, settings.path)
    except OSError as error:
        raise unusable("journal.path", settings.path, error) from error
    return SqliteJournal(opened, Reader(settings.path), settings, clock, max_waiting_bytes, silent_seconds)


class SqliteJournal:
    """Made by `open_journal`. All methods are called in the event loop that opened it."""

    def __init__(
        self, opened: Opened, reader: Reader, settings: JournalSettings, clock: Clock, max_waiting_bytes: int, silent_seconds: float
    ) -> None:
        self.id = opened.id
        self.quota_bytes = settings.quota_bytes
        self.waiting_bytes = 0  # memory taken by appends that are not durable yet
        self.damages = opened.damages  # noticed since the start, of the file as a whole
        self.witness: Callable[[int], None] = _nobody  # hears of each position before who appended it does
        self._keep_bytes = settings.keep_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._clock = clock
        self._refused = LastRefusal()
        self._time = ReceivedTime(clock, opened.end.received_at)
        self._floor, self._last = opened.floor, opened.end.position
        self._durable = opened.end.total_bytes  # up to `_last`
        self._total = self._durable  # with what waits
        self._unchecked: tuple[int, int] | None = (opened.end.position, opened.end.received_at)  # not compared with the store yet
        self._tail = Tail(TAIL_BYTES)
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._shrinks = True
        self._lock = opened.lock
        self._reader = reader
        self._writer = Writer(opened.connection, opened.end, self, silent_seconds)
        self._disk = Disk(self._writer, clock)
        self._writer.start()

    @property
    def kept_bytes(self) -> int:
        """Payload bytes that count towards the quota, waiting ones included."""
        return self._total - self._floor.total_bytes

    @property
    def fault(self) -> str | None:
        """Why it takes nothing now, or why something found no room of late: what is small may still have found some."""
        return self._disk.fault or self._refused.reason

    @property
    def last_position(self) -> int:
        """Of the newest durable entry; 0 if there never was one."""
        return self._last

    @property
    def last_received_at(self) -> int:
        """Of the newest entry, durable or not; 0 if there never was one."""
        return self._time.last_us

    @property
    def ahead_us(self) -> int:
        """How far received time is ahead of the clock, after that was set back; 0 if it is not."""
        return self._time.ahead_us

    @property
    def floor_position(self) -> int:
        """Entries up to this one are forgotten."""
        return self._floor.position

    async def append(self, kind: Kind, source: str, payload: bytes, message: object = None, *, sender: str = "") -> int:
        """See Journal. Costs the event loop a few microseconds; the disk is waited for in another thread."""
        if self._closed:
            raise RetryableError(CLOSED)
        size, memory = len(payload), weight(kind, payload, message)
        if full := self._full(size, memory):
            self._refused.add(full)
            raise JournalFullError(f"journal: {full}")
        self.waiting_bytes += memory
        self._total += size
        future: asyncio.Future[int] = self._loop.create_future()
        self._writer.put(Append(future, kind, source, self._time.stamp(), payload, message, memory, sender))
        return await future

    def _full(self, size: int, memory: int) -> str:
        """Which bound keeps this much out; empty if none does."""
        if self._total - self._floor.total_bytes + size > self.quota_bytes:
            return f"the quota of {self.quota_bytes} bytes is used up (journal.quota_bytes)"
        if self.waiting_bytes and self.waiting_bytes + memory > self._max_waiting_bytes:
            return f"{self.waiting_bytes} bytes wait for the disk (ingest.max_waiting_bytes)"
        return ""

    async def read(self, after: int, max_bytes: int) -> Sequence[Entry]:
        """See Journal. From memory near the end, else from the file and then without `message`."""
        while not self._closed:
            after = max(after, self._floor.position)
            if after >= self._last:
                await self._arrived.wait()
                continue
            self._tail.forget(after)  # the pipeline reads on and does not come back, and who does reads the file
            found = self._tail.read(after, max_bytes) or await self._reader.entries(after, max_bytes, self._last)
            if found:
                return found
        raise RetryableError(CLOSED)

    async def holdings(self) -> Sequence[tuple[int, str, str, int]]:
        """What entries that were not processed hold: (position of the last, source, sender, bytes) of runs of entries, in order.

        Nothing where they cannot be read (a damaged page, no room to sort): shares that start empty refuse too little, never too much.
        """
        try:
            return await self._reader.holdings()
        except (DamagedError, RetryableError, MemoryError) as error:
            why = error.__cause__ or error  # what the error says to do is for who cannot go on without them
            log.error("journal: whose the entries are that wait cannot be told, so all shares start empty: %s", why)
            return []

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """See Journal. Appends pass between the pieces of a large state. What a damaged page refuses goes into the other tables."""
        try:
            await self._save(checkpoint)
        except BadPageError:
            await self._save(checkpoint)
        await self._drop_checkpoints()

    async def _save(self, checkpoint: Checkpoint) -> None:
        crc = await asyncio.to_thread(checkpoints.checksum, *checkpoint)
        number = await self._writer.run(partial(checkpoints.begin_checkpoint, position=checkpoint.position, crc=crc))
        for chunk, data in enumerate(checkpoints.chunks(checkpoint.state)):
            await self._writer.run(partial(checkpoints.add_chunk, checkpoint=number, number=chunk, data=data))
        await self._writer.run(partial(checkpoints.complete_checkpoint, checkpoint=number))

    async def checkpoint(self, at_most: int) -> Checkpoint | None:
        """See Journal."""
        if self._closed:
            raise RetryableError(CLOSED)
        return await self._reader.checkpoint(at_most)

    async def later_checkpoint(self, above: int) -> Checkpoint | None:
        """See Journal."""
        return await self._reader.later_checkpoint(above)

    async def standing(self) -> Standing:
        """See Journal."""
        end, end_us = self._unchecked or (self._last, self._time.last_us)
        return await self._writer.run(partial(standing.standing, end_position=end, end_us=end_us))

    async def rename(self, name: str, incident: Incident) -> None:
        """See Journal."""
        await self._writer.run(partial(standing.renamed, name=name, incident=incident))
        self.id, self.damages = name, self.damages + 1

    @property
    def renames(self) -> bool:
        """See Journal."""
        return True

    async def notice(self, incident: Incident) -> None:
        """See Journal. Where the page for it is damaged it is told at once, and once more should the process end before it is processed."""
        try:
            await self._writer.run(partial(standing.noted, incident=incident))
        except BadPageError:
            await self.append(Kind.INCIDENT, "", msgspec.json.encode(incident))
        self.damages += 1

    async def settle(self) -> None:
        """See Journal. What cannot be an entry now is told at the next start. Of a damaged page nothing can be told: it is logged."""
        await self._writer.run(standing.agreed)
        self._unchecked = None
        with suppress(DiskError, JournalFullError):
            for number, incident in await self._writer.run(standing.untold):
                await self.append(Kind.INCIDENT, "", msgspec.json.encode(incident))
                await self._writer.run(partial(standing.told, number=number))

    @property
    def crowded(self) -> bool:
        """See Journal."""
        return self._refused.reason is not None or self.kept_bytes > self.quota_bytes // 2

    async def truncate(self, up_to: int) -> None:
        """See Journal. Never beyond the newest checkpoint ≤ up_to, if there is any; appends pass between the chunks."""
        up_to = min(up_to, self._last)
        target = await self._writer.run(partial(truncation.begin_truncation, up_to=up_to, keep_bytes=self._keep_bytes))
        while self._floor.position < target:
            try:
                floor = await self._writer.run(partial(truncation.forget_chunk, up_to=target))
            except BadPageError:
                floor = await self._writer.run(partial(truncation.pass_over, up_to=target))
            if floor.position == self._last:  # nothing is kept but what waits, whatever damage has hidden
                floor = floor._replace(total_bytes=self._durable)
            self._floor = max(self._floor, floor)
            self._tail.forget(floor.position)
        await self._drop_checkpoints()
        await self._shrink()

    async def close(self) -> None:
        """See Journal. Readers that wait get a RetryableError."""
        if self._closed:
            return
        self._closed = True
        self._wake_readers()
        await self._disk.stop()
        await asyncio.to_thread(self._reader.close)
        await self._writer.stop()  # as the last connection it copies the log into the file and removes it
        os.close(self._lock)

    def committed(self, group: list[Append], entries: list[Entry]) -> None:
        """Called by the writer: the group is durable."""
        self._last = entries[-1].position
        self.witness(self._last)
        self._disk.worked()
        self._tail.extend(entries)
        for waiting, entry in zip(group, entries, strict=True):
            self.waiting_bytes -= waiting.memory
            self._durable += len(waiting.payload)
            resolve(waiting.future, entry.position)
        self._wake_readers()

    def failed(self, group: list[Append], error: Exception) -> None:
        """Called by the writer: nothing of the group was stored."""
        if not self._closed:
            self._disk.failed(error)
        for waiting in group:
            self.waiting_bytes -= waiting.memory
            self._total -= len(waiting.payload)
            fail(waiting.future, error)

    async def _drop_checkpoints(self) -> None:
        for number in await self._writer.run(checkpoints.retire_checkpoints):
            with suppress(BadPageError):  # it stays where it is; the writer has logged it
                while await self._writer.run(partial(checkpoints.drop_chunk, checkpoint=number)):
                    pass

    async def _shrink(self) -> None:
        if not self._shrinks:
            return
        try:
            await self._writer.run(shrink, in_transaction=False)
        except (DiskError, JournalFullError) as error:  # damage, or no room: then it would fail each time
            self._shrinks = False
            log.warning("journal: its file keeps its size until the next start: %s", error)

    def _wake_readers(self) -> None:
        self._arrived.set()
        self._arrived.clear()


def journal_component(journal: SqliteJournal, refused: str | None = None) -> Component:
    """How full it is, and why it takes nothing. `refused`: why what came lately was refused before it came to the journal."""
    fault = journal.fault or refused
    used = f"{journal.kept_bytes / journal.quota_bytes:.0%} of its quota used, last position {journal.last_position}{_damages(journal)}"
    return Component("journal", fault is None, used if fault is None else f"{used}; takes nothing, or not all: {fault}")


def _damages(journal: SqliteJournal) -> str:
    """What was found at the start; the dead letters tell it for as long as nobody drops it."""
    return "; the file was found damaged, or not to fit the store: see the dead letters" if journal.damages else ""
