"""Clocks that tests turn, and one that runs from a date of their own."""

from __future__ import annotations

import asyncio
import math

from collector.clock import SystemClock

FOR_EVER = 1_000_000.0  # seconds: what waits so long is not to happen in the test


class Sleeping:
    """Sleeps for as long as it is asked to, and never longer than `longest_sleep`, so that tests can wait it out; but for FOR_EVER."""

    longest_sleep = math.inf

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds if seconds >= FOR_EVER else min(seconds, self.longest_sleep))


class TurnedClock(Sleeping):
    """Shows what it was set to. Turned ahead, time has passed; turned back, or by `step`, it was set, and none has."""

    def __init__(self, now_us: int = 1_780_000_000_000_000) -> None:
        self._now = now_us
        self.passed = 1_000_000_000

    @property
    def now(self) -> int:
        return self._now

    @now.setter
    def now(self, now_us: int) -> None:
        self.passed += max(0, now_us - self._now)
        self._now = now_us

    def step(self, by_us: int) -> None:
        """Somebody sets it."""
        self._now += by_us

    def now_us(self) -> int:
        return self._now

    def monotonic_us(self) -> int:
        return self.passed


class RunningClock(Sleeping):
    """Runs like the system's, from another date on: that of the tests' traffic, whose starts would else be suspect."""

    def __init__(self, now_us: int = 1_780_000_000_000_000) -> None:
        self._behind = SystemClock().now_us() - now_us

    def now_us(self) -> int:
        return SystemClock().now_us() - self._behind

    def monotonic_us(self) -> int:
        return SystemClock().monotonic_us()
