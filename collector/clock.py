"""The clock, injected wherever time is read or waited for, so that tests can turn it.

Dates come from `now_us`, which somebody may set, either way and at any moment. Spans within one process come from `monotonic_us`, which
nobody can. What is done for good by the date (deleting) or for ever after it (received time) goes by a HeldClock.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

TOLERANCE_US = 1_000_000  # by which a clock may differ from its own pace without having been set
_PASSING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
HOLD_US = 60_000_000


class Clock(Protocol):
    """Wall-clock time, and time that passes."""

    def now_us(self) -> int:
        """Microseconds since the epoch. May go back, and leap ahead."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds that have passed since some moment, also while the machine was suspended. Never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns when so much time has passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.clock_gettime_ns(_PASSING) // 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def sleep_unless(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Sleeps; returns early as soon as the event is set."""
    parts = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in parts:
            part.cancel()


class HeldClock:
    """A clock that believes a leap ahead only when it has stood for `hold_us`; until then it goes on at its pace. It goes back at once.

    For what can't be undone: a clock that shows 2038 for a moment must neither date a journal nor empty a store.
    """

    def __init__(self, clock: Clock, hold_us: int) -> None:
        self._clock, self._hold_us = clock, hold_us
        self._offset = clock.now_us() - clock.monotonic_us()
        self._since: int | None = None  # when the leap that is not believed yet was seen first

    def begin_at(self, now_us: int) -> None:
        """Believes that it is this time now: what the clock shows beyond has to stand first."""
        self._offset = min(self._offset, now_us - self._clock.monotonic_us())

    @property
    def doubts(self) -> bool:
        """Whether it does not believe the clock now, as of the last look."""
        return self._since is not None

    def now_us(self) -> int:
        """See Clock."""
        return self.look()[0]

    def monotonic_us(self) -> int:
        """See Clock."""
        return self._clock.monotonic_us()

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await self._clock.sleep(seconds)

    def look(self) -> tuple[int, int]:
        """`now_us` and `monotonic_us` of one moment."""
        passed = self._clock.monotonic_us()
        offset = self._clock.now_us() - passed
        if offset > self._offset + TOLERANCE_US:
            if self._since is None:
                self._since = passed
            if passed - self._since < self._hold_us:
                return passed + self._offset, passed
        self._offset, self._since = offset, None
        return passed + offset, passed


class ReceivedTime:
    """What entries are stamped with: it never goes back, never stands still, and is the wall clock's wherever that may be.

    A clock that is set back leaves it ahead: then it goes on at half pace, so that whatever waits for time to pass (lingering, idle
    exchanges, ledger windows) waits twice as long at most, and the distance becomes smaller until it is gone. A clock that leaps ahead is
    followed when it has stayed there for HOLD_US: what shows another year for a moment does not date the journal for a year.

    One journal's, or one writer's. `last_us`: the newest stamp of an earlier process.
    """

    def __init__(self, clock: Clock, last_us: int = 0) -> None:
        self._clock, self._held = clock, HeldClock(clock, HOLD_US)
        self.last_us = self._from_us = last_us
        self._from = clock.monotonic_us()  # when time was `_from_us`, as of which it goes on at half pace at least

    def stamp(self) -> int:
        """The time now."""
        now, passed = self._held.look()
        slow = self._from_us + (passed - self._from) // 2
        if now >= slow:
            self._from_us, self._from = now, passed
            slow = now
        self.last_us = max(slow, self.last_us)
        return self.last_us

    @property
    def ahead_us(self) -> int:
        """How far the newest stamp is ahead of the clock; 0 if it is not."""
        return max(0, self.last_us - self._clock.now_us())
