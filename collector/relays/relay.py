"""A relay: reads a batch from its feed, writes it to its target, and goes on from there. One batch in memory, whatever the target does.

A target that fails is tried again for ever: at once, then at growing intervals, and from the beginning whenever something got through. What
it can never take goes to the dead letters, and the rest goes on. While it waits, it goes on looking how much there is to copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from collector.clock import Clock, sleep_unless
from collector.complaints import Complaints, Outage
from collector.dead_letters import DeadLetters, damaged, letter
from collector.errors import FencedError, MeshscribeError, PermanentError, RetryableError, SettingsError
from collector.health import Waiting
from collector.messages.event import Output, Place
from collector.pipeline.isolation import isolate
from collector.relays.protocol import Feed, LaterError, PoisonError, Read
from collector.retry import Backoff, until_it_works
from collector.sinks.protocol import Sink

T = TypeVar("T")

log = logging.getLogger("meshscribe.relay")

FIRST_WAIT, LONGEST_WAIT, GROWTH = 0.001, 30.0, 1.5  # seconds between tries, jittered
AT_ONCE = 2  # tries that do not wait: where one request in ten fails, waiting is what costs
LATER_WAIT = 300.0  # what a Retry-After may ask for at most
_PASSING = (RetryableError, FencedError, SettingsError)
STAND_ASIDE = 30.0  # another process has the relay: seconds until it is looked whether it still does


class Status(NamedTuple):
    """How a relay fares. `lag`: journal positions behind the feed, all journals together. `since_us`: when `failing` began."""

    name: str
    places: dict[str, Place]
    lag: int
    failing: str | None
    since_us: int | None
    written: int
    buried: int


class Meter(Protocol):
    """What is counted (metrics.RelayMetrics)."""

    def wrote(self, events: int) -> None: ...
    def retried(self) -> None: ...
    def buried(self) -> None: ...


class Relay:
    """Runs until it is stopped. `types`: the CloudEvents types that are copied. `random`: numbers in [0, 1)."""

    def __init__(
        self,
        name: str,
        feed: Feed,
        target: Sink,
        letters: DeadLetters,
        clock: Clock,
        *,
        types: frozenset[str],
        random: Callable[[], float],
        meter: Meter | None = None,
        idle_seconds: float = 0.5,
        look_seconds: float = 5.0,
    ) -> None:
        self.name = name
        self._feed, self._target, self._letters, self._clock = feed, target, letters, clock
        self._types, self._random, self._meter, self._idle_seconds = types, random, meter, idle_seconds
        self._look_seconds = look_seconds  # how old the lag of a failing relay may be
        self._places: dict[str, Place] = {}
        self._highs: dict[str, Place] = {}
        self._generation = feed.generation
        self._failing: str | None = None
        self._since_us: int | None = None
        self._waiting = Waiting()  # for target or feed
        self._outage = Outage(f"relay {name} works", log, clock)
        self._complaints = Complaints(log, clock)
        self._written = self._buried = 0
        self._looked_at = 0.0
        self._stopping = asyncio.Event()

    @property
    def status(self) -> Status:
        """As it is now; from memory."""
        lag = sum(max(0, high.position - self._places[j].position) for j, high in self._highs.items() if j in self._places)
        return Status(self.name, dict(self._places), lag, self._fault(), self._since_us, self._written, self._buried)

    async def run(self) -> None:
        """Returns after `stop`, when what was begun is done. Raises nothing that a target or a feed can cause."""
        while not self._stopping.is_set():
            try:
                moved = await self.once()
            except _StoppedError:
                return
            except PermanentError as error:  # of no output: of the feed, a place, or the dead letters; people may mend it
                self._fails(str(error))
                self._places.clear()
                await self._rest(LONGEST_WAIT)
            else:
                if not moved:
                    await self._rest(self._idle_seconds)

    def stop(self) -> None:
        """What is being written is still finished; nothing new is begun, nothing tried again."""
        self._stopping.set()

    async def once(self) -> bool:
        """One batch of each journal. Returns whether there was anything."""
        journals = await self._retried(self._feed.journals)
        if self._feed.generation != self._generation:
            self._generation = self._feed.generation
            self._places.clear()
            self._highs.clear()
        moved = False
        for journal in journals:
            if self._stopping.is_set():
                break
            moved |= await self._step(journal)
        return moved

    async def _step(self, journal: str) -> bool:
        after = self._places.get(journal)
        if after is None:
            after = self._places[journal] = await self._retried(partial(self._target.high, journal))
        self._highs[journal] = await self._retried(partial(self._feed.high, journal))
        read = await self._retried(partial(self._feed.read, journal, after))
        if read.place <= after:
            return False
        await self._deliver(journal, read)
        if self._generation == self._feed.generation:
            self._places[journal] = read.place
        return True

    async def _deliver(self, journal: str, read: Read) -> None:
        for found in read.damaged:
            made = damaged(f"relay:{self.name}", journal, found.place, found.data, found.reason, self._clock.now_us())
            await self._retried(partial(self._letters.add, made))
            self._count_buried(found.place, found.reason)
        wanted = [kept for output in read.outputs if (kept := self._wanted(output)).events]
        await isolate(partial(self._put, journal), partial(self._bury, journal), wanted, read.place)
        events = sum(len(output.events) for output in wanted)
        self._written += events
        if self._meter is not None:
            self._meter.wrote(events)

    def _wanted(self, output: Output) -> Output:
        if all(event.type in self._types for event in output.events):
            return output
        return output._replace(events=tuple(event for event in output.events if event.type in self._types))

    async def _put(self, journal: str, outputs: Sequence[Output], place: Place) -> None:
        try:
            await self._retried(partial(self._target.write, journal, outputs, place))
        except PoisonError as error:
            for poison in error.poisons:
                await self._bury(journal, poison.output, poison.reason)
            await self._retried(partial(self._target.write, journal, [], place))

    async def _bury(self, journal: str, output: Output, reason: str) -> None:
        made = letter(f"relay:{self.name}", journal, output, reason, self._clock.now_us())
        await self._retried(partial(self._letters.add, made))
        self._count_buried(output.place, reason)

    def _count_buried(self, place: Place, reason: str) -> None:
        self._complaints.tell(reason, f"relay {self.name}: what is at {place} cannot be written and goes to the dead letters: {reason}")
        self._buried += 1
        if self._meter is not None:
            self._meter.buried()

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until it works. Raises PermanentError, and _StoppedError when it failed and is to stop."""
        waits = self._waits()

        def fails(error: MeshscribeError) -> None:
            self._fails(str(error), waits.tries >= AT_ONCE)
            if isinstance(error, RetryableError) and error.progressed:
                waits.reset()

        result = await until_it_works(
            partial(self._waiting.answer, attempt, "a client"), waits, self._wait_out, fails, _PASSING, self._asked
        )
        self._works()
        return result

    def _waits(self) -> Backoff:
        """Jittered, so that relays of several processes do not come all at once."""
        return Backoff(FIRST_WAIT, LONGEST_WAIT, self._random, growth=GROWTH, at_once=AT_ONCE, asked_cap_s=LATER_WAIT)

    def _asked(self, error: MeshscribeError) -> float:
        """Seconds that this error asks for."""
        if isinstance(error, LaterError):
            return error.seconds
        return STAND_ASIDE * (0.5 + self._random() / 2) if isinstance(error, FencedError) else 0.0

    def _fails(self, why: str, is_worth_a_line: bool = True) -> None:
        if self._failing is None:
            self._since_us = self._clock.now_us()
        if is_worth_a_line:
            self._outage.fails(why, f"relay {self.name} fails and tries again: {why}")
        self._failing = why
        if self._meter is not None:
            self._meter.retried()

    def _works(self) -> None:
        self._outage.works()
        self._failing = self._since_us = None

    def _fault(self) -> str | None:
        """Also of a target or feed that hangs: it says nothing."""
        silence = self._waiting.silence
        return self._failing if silence is None else f"its target or feed {silence}"

    async def _wait_out(self, seconds: float) -> None:
        """Rests, and looks meanwhile how much waits: the lag of a relay that fails must not stand still. Raises _StoppedError."""
        while True:
            piece = min(seconds, self._look_seconds)
            await self._rest(piece)
            seconds -= piece
            if self._lag_is_old():
                await self._look()
            if self._stopping.is_set():
                raise _StoppedError
            if seconds <= 0:
                return

    def _lag_is_old(self) -> bool:
        return asyncio.get_running_loop().time() - self._looked_at >= self._look_seconds

    async def _look(self) -> None:
        self._looked_at = asyncio.get_running_loop().time()
        for journal in list(self._highs):
            try:
                self._highs[journal] = await self._feed.high(journal)
            except MeshscribeError as error:
                log.debug("relay %s: cannot see how much waits: %s", self.name, error)

    async def _rest(self, seconds: float) -> None:
        await sleep_unless(self._stopping, self._clock, seconds)


class _StoppedError(MeshscribeError):
    """It failed, and there is no time left to try again."""
