"""The pipeline: journal → correlate → redact → decode → enrich → describe → sink. A pure function of the journal, exactly once by replay.

It starts from the newest checkpoint that the sink's `high` covers, feeds the journal from there, and stores only what is above `high`.
A crash at any point therefore changes nothing in what is stored. Only when a batch is stored is the next checkpoint taken, and only then
is the journal truncated, up to the one before. While the sink writes one batch, the next is being correlated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import random
from typing import TypeVar

from collector.clock import Clock
from collector.complaints import Complaints, Outage
from collector.correlate import Correlator
from collector.errors import DamagedError, DiskError, JournalFullError, RetryableError, blamed
from collector.health import SILENT_SECONDS, Waiting
from collector.journal import Checkpoint, Journal
from collector.messages.entry import Entry, Kind
from collector.messages.event import Output, Place
from collector.pipeline.resuming import find_start
from collector.pipeline.stages import Meaning, Stages
from collector.retry import Backoff, until_it_works
from collector.sinks.protocol import WHOLE, Sink
from collector.tasks import cancel

T = TypeVar("T")

log = logging.getLogger("meshscribe.pipeline")

AT_ONCE = 256  # exchanges described before others have their turn
WITHIN = 1.25  # batches that are in hand, at most, before one of them is stored: an exchange takes 2 KiB and its bodies until then
READ_BYTES = 2 << 20  # journal bytes taken at once
TICK_SECONDS = 0.5  # how long time may stand still while something is open
RETRY_SECONDS, RETRY_SECONDS_AT_MOST = 0.1, 5.0
AWAY_SECONDS = 2.0  # without an answer the sink counts as away
LOOK_SECONDS = 0.5  # how often it is looked whether the sink hangs
QUIET_POSITIONS = 1000  # journal entries without output after which `high` moves all the same


class Pipeline:
    """Runs until it is cancelled. `done` is the place up to which everything is stored."""

    def __init__(
        self,
        journal: Journal,
        sink: Sink,
        correlator: Correlator,
        meaning: Meaning,
        clock: Clock,
        *,
        batch: int,
        checkpoint_us: int,
        checkpoint_bytes: int,
        with_usage: bool = False,
        tick_seconds: float = TICK_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._journal, self._sink, self._correlator, self._clock = journal, sink, correlator, clock
        self._stages = Stages(meaning, with_usage, correlator.answers)
        self._batch, self._checkpoint_us, self._checkpoint_bytes = batch, checkpoint_us, checkpoint_bytes
        self._tick_seconds = tick_seconds
        self.fed = 0  # position of the last entry fed
        self.settled = 0  # up to there all output is stored
        self._ticked = 0  # and what it was when the ticker last looked
        self._saved_at = 0
        self._unsaved_bytes = 0
        self._checkpointed = 0  # position of the newest checkpoint
        self._let_go = 0  # the journal was truncated up to here
        self._waiting = Waiting(silent_seconds)  # for the sink
        self.done = Place(0, WHOLE)
        self._fault: str | None = None  # why the sink did not take what it was given last
        self._storing = 0  # writes' worth of entries whose output is not stored yet: one is written while the next is fed
        self._moved = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._begun_at = clock.monotonic_us()
        self._resumed = False
        self._heard_at = 0  # when the last entry fed was received
        self._in_hand = deque[int]()  # of each of those writes, when its first entry was received, on the monotonic clock
        self.checkpoint_failing: str | None = None  # why no checkpoint can be made
        self.checkpoints_failed = 0  # since the start
        self._complaints = Complaints(log, clock)
        self._outage = Outage("the sink takes events", log, clock)
        self._unnoted = Outage("the journal does what the start needs", log, clock)

    @property
    def oldest_unstored_seconds(self) -> float:
        """The age of the oldest entry that is not stored yet; 0 if there is none. Before it is known what is stored: since the start."""
        if self._resumed and not self._in_hand:
            return 0.0
        oldest = self._in_hand[0] if self._in_hand else self._begun_at
        return (self._clock.monotonic_us() - oldest) / 1_000_000

    @property
    def checkpointed(self) -> int:
        """Entries up to here are not needed any more."""
        return self._let_go

    @property
    def waiting(self) -> Waiting:
        """For the sink's answer."""
        return self._waiting

    @property
    def away(self) -> bool:
        """Whether the sink takes nothing: it says so, or says nothing."""
        return self._fault is not None or self._waiting.seconds > AWAY_SECONDS

    @property
    def failing(self) -> str | None:
        """Why the sink does not take anything now: what it says, or that it says nothing."""
        silence = self._waiting.silence
        if silence is None:
            return self._fault
        return f"the store {silence}" + (f"; before that: {self._fault}" if self._fault else "")

    async def run(self) -> None:
        """Resumes, then goes on for ever."""
        watching = asyncio.create_task(self._watch())
        try:
            await self._resume()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tick())
                group.create_task(self._flow())
        finally:
            await cancel(watching)

    async def drained(self, position: int, seconds: float) -> bool:
        """Waits until all up to `position` is fed and its output stored. False: not in time."""
        try:
            async with asyncio.timeout(seconds):
                while self.fed < position or self._storing:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _resume(self) -> None:
        start = await find_start(self._journal, self._sink, self._clock, self._retried, self._noted)
        self.done, self._let_go = start.high, start.floor
        if start.checkpoint is not None:
            self._restore(start.checkpoint)
            self._checkpointed = start.fed
        self.fed = self.settled = start.fed
        self._saved_at = self._clock.monotonic_us()
        self._resumed = True
        log.info("resuming behind position %d; stored up to %d", self.fed, self.done.position)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """An older one does not stand in for another version's: what that version stored since may have other places than what we would
        make, so that an exchange could be stored twice, or not at all.
        """
        try:
            self._correlator.restore(checkpoint.state)
        except DamagedError as error:
            where = f"the checkpoint of journal {self._journal.id} at position {checkpoint.position}"
            raise DamagedError(f"{where} is of no use here: {error}") from error

    async def _flow(self) -> None:
        entries: Sequence[Entry] = ()
        try:
            while True:
                entries = entries or await self._journal.read(self.fed, READ_BYTES)
                self._storing += 1
                self._in_hand.append(self._since(entries[0].received_at))
                outputs, entries = await self._feed(entries)
                await self._written()
                high = Place(self.fed, WHOLE)
                if outputs or self.fed - self.done.position >= QUIET_POSITIONS:
                    self._writing = asyncio.create_task(self._store(outputs, high))
                    self._writing.add_done_callback(self._stored)
                else:
                    self.settled = self.fed
                    self._stored(None)
                if self._checkpoint_is_due():
                    await self._written()
                    self._in_hand.append(self._since(self._heard_at))  # what comes meanwhile waits in the journal, and is younger
                    await self._checkpoint()
                    self._in_hand.popleft()
        finally:
            if self._writing is not None:
                self._writing.cancel()

    async def _written(self) -> None:
        """The batch that is being written is stored."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    def _since(self, received_at: int) -> int:
        """This time on the monotonic clock, which nobody sets from here on."""
        return self._clock.monotonic_us() - max(0, self._clock.now_us() - received_at)

    def _stored(self, _: object) -> None:
        self._storing -= 1
        self._in_hand.popleft()
        self._moved.set()

    async def _feed(self, entries: Sequence[Entry]) -> tuple[list[Output], Sequence[Entry]]:
        """(what they gave, the entries left when it was enough for one write): small log entries become many times larger."""
        outputs: list[Output] = []
        for number, entry in enumerate(entries, 1):
            for step in self._correlator.steps(entry):
                closed = [one for one in step if one.place > self.done]
                if len(closed) < len(step):
                    self._stages.recall([one for one in step if one.place <= self.done])
                for start in range(0, len(closed), AT_ONCE):
                    if start:
                        await asyncio.sleep(0)
                    outputs += self._stages.outputs(closed[start : start + AT_ONCE])
                while len(outputs) >= WITHIN * self._batch:  # one message may close thousands
                    await self._written()
                    await self._write(outputs[: self._batch], outputs[self._batch - 1].place)
                    del outputs[: self._batch]
                await asyncio.sleep(0)  # the receivers share this loop
            self.fed, self._heard_at = entry.position, entry.received_at
            self._unsaved_bytes += len(entry.payload)
            if len(outputs) >= self._batch:
                return outputs, entries[number:]
        return outputs, ()

    async def _store(self, outputs: list[Output], high: Place) -> None:
        """All that the entries up to `high` gave, or what is left of it."""
        await self._write(outputs, high)
        self.settled = high.position

    async def _write(self, outputs: list[Output], high: Place) -> None:
        for start in range(0, max(len(outputs), 1), self._batch):
            some = outputs[start : start + self._batch]
            last = high if start + self._batch >= len(outputs) else some[-1].place
            await self._retried(partial(self._sink.write, self._journal.id, some, last))
            self.done = last

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until it works: the journal holds what waits, and its quota is the bound."""
        return await self._until_it_works(
            partial(self._waiting.answer, attempt, "the sink's client"), self._outage, "the sink does not take events"
        )

    async def _noted(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until the journal does it. Nothing is stored before, but what comes is taken as far as there is room."""
        return await self._until_it_works(attempt, self._unnoted, "nothing is stored, as the journal refuses what the start needs")

    async def _until_it_works(self, attempt: Callable[[], Awaitable[T]], outage: Outage, refusal: str) -> T:
        def fails(error: RetryableError) -> None:
            self._fault = str(error)
            outage.fails(self._fault, f"{refusal}, trying again: {error}")

        waits = Backoff(RETRY_SECONDS, RETRY_SECONDS_AT_MOST, random)
        result = await until_it_works(attempt, waits, self._clock.sleep, fails, RetryableError)
        self._fault = None
        outage.works()
        return result

    async def _watch(self) -> None:
        """Says in the log when the sink hangs: whoever waits for it says nothing."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if silence := self._waiting.silence:
                self._outage.fails("silence", f"the sink {silence}: what comes waits in the journal")

    def _checkpoint_is_due(self) -> bool:
        if self.fed == self._checkpointed:
            return False
        return self._unsaved_bytes >= self._checkpoint_bytes or self._clock.monotonic_us() - self._saved_at >= self._checkpoint_us

    async def _checkpoint(self) -> None:
        """Saves the state after the last entry fed. Everything up to there is stored, or had no output."""
        if self.done < Place(self.fed, WHOLE):  # or stored within an entry, which `high` then does not cover
            await self._store([], Place(self.fed, WHOLE))
        state = self._state()
        self._unsaved_bytes, self._saved_at = 0, self._clock.monotonic_us()
        if state is None:
            return  # the journal keeps what the next start needs
        try:
            # The checkpoint before, and what came since, stay: should the new one be damaged, the state is made anew from there.
            await self._truncate(self._checkpointed)
            await self._journal.save_checkpoint(Checkpoint(self.fed, state))
            self._checkpointed = self.fed
            if self._journal.crowded:
                await self._truncate(self.fed)
        except (JournalFullError, DiskError) as error:
            self._no_checkpoint(f"no checkpoint can be saved, so the journal keeps growing: {error}")
            return
        self.checkpoint_failing = None

    async def _truncate(self, up_to: int) -> None:
        if up_to > self._let_go:
            await self._journal.truncate(up_to)
            self._let_go = up_to

    def _state(self) -> bytes | None:
        """The correlator's state; None, and said, if it cannot be written."""
        try:
            return self._correlator.state()
        except Exception as error:  # noqa: BLE001 - whatever it holds, the exchanges go on; the journal is not truncated meanwhile
            self._no_checkpoint(f"no checkpoint can be made, so the journal keeps growing: {blamed(error)}")
            return None

    def _no_checkpoint(self, why: str) -> None:
        self.checkpoint_failing = why
        self.checkpoints_failed += 1
        self._complaints.tell("checkpoint", why)

    async def _tick(self) -> None:
        """Lets time pass in the journal while something is open and nothing comes in."""
        while True:
            await self._clock.sleep(self._tick_seconds)
            if not self._correlator.quiet and self.fed == self._ticked:
                try:
                    await self._journal.append(Kind.TICK, "", b"")
                except (JournalFullError, DiskError) as error:
                    self._complaints.tell("tick", f"time stands still: {error}", logging.WARNING)
            self._ticked = self.fed
