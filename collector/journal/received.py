"""Received time: what entries are stamped with. It never goes back, never stands still, and is the wall clock's wherever that may be.

A clock that is set back leaves it ahead: then it goes on at half pace, so that whatever waits for time to pass (lingering, idle exchanges,
ledger windows) waits twice as long at most, and the distance becomes smaller until it is gone. A clock that leaps ahead is followed when
it has stayed there for HOLD_US: what shows another year for a moment does not date the journal for a year.
"""

from __future__ import annotations

from collector.clock import Clock, HeldClock

HOLD_US = 60_000_000


class ReceivedTime:
    """One journal's, or one writer's. `last_us`: the newest stamp of an earlier process."""

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
