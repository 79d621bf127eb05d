"""Asks for one answer with as many copies of a request as it takes.

A lost answer would cost the whole time limit, in which a sound target takes a thousand events. So a request that is out for much longer
than answers take is sent again beside the one that waits. That one is not given up: a target that has only become slow still answers it.
The first outcome counts, for good or ill, and the copies that are still under way are cut. Nothing else is sent before that.

What answers usually take is kept as TCP keeps it for its segments (RFC 6298): a smoothed time and its mean deviation. An answer is of the
request that was on its connection, so each is a sample, late ones too: a target that became slow is known to be slow by its first answer.
Answers pay for repeats: a target that answers nothing is soon asked with full patience only.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

FIRST_SECONDS = 1.0  # before anything was answered
FLOOR_SECONDS = 0.01  # threads of a busy machine wait as long for each other
# RFC 6298's alpha, beta and K, where they are 1/8, 1/4 and 4: a little less patient, since what waits is not given up for its repeat.
# SMOOTHING + WIDTH * DEVIATION > 1: after one late answer the next one is waited for as long.
SMOOTHING, DEVIATION, WIDTH = 1 / 8, 1 / 3, 3
BEGUN, EARNED, SAVED = 2.0, 0.5, 8.0  # repeats: that may be made at first, that one answer allows, that may be saved up
COPIES = 4  # of one request, under way at a time
T = TypeVar("T")


class Patience:
    """Of one target."""

    def __init__(self) -> None:
        self._usual, self._spread = FIRST_SECONDS, 0.0
        self._knows = False
        self._may_repeat = BEGUN

    def answered(self, seconds: float) -> None:
        """A request was answered, so long after it was begun."""
        if self._knows:
            self._spread += DEVIATION * (abs(seconds - self._usual) - self._spread)
            self._usual += SMOOTHING * (seconds - self._usual)
        else:
            self._usual, self._spread, self._knows = seconds, seconds / 2, True
        self._may_repeat = min(SAVED, self._may_repeat + EARNED)

    def repeated(self) -> None:
        """A request was sent once more."""
        self._may_repeat -= 1

    def seconds(self, copies: int) -> float:
        """How long to wait for the newest of so many copies of a request before there is one more, double each time; or for ever."""
        if self._may_repeat < 1 or copies >= COPIES:
            return math.inf
        return float(max(FLOOR_SECONDS, self._usual + WIDTH * self._spread) * 2 ** (copies - 1))


class Repeats:
    """The requests to one target, one after the other."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()

    async def answer(self, ask: Callable[[], Coroutine[object, object, T]]) -> T:
        """What the first copy that comes to an end gives, or raises. Only what it gives counts as an answer of usual length."""
        copies: set[asyncio.Task[T]] = set()
        try:
            while True:
                copies.add(asyncio.create_task(self._timed(ask)))
                patience = self._patience.seconds(len(copies))
                done, _ = await asyncio.wait(
                    copies, timeout=None if patience == math.inf else patience, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return _best(done).result()
                self._patience.repeated()
        finally:
            await _cut(copies)

    async def _timed(self, ask: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time
        began = now()
        result = await ask()
        self._patience.answered(now() - began)
        return result


def _best(done: set[asyncio.Task[T]]) -> asyncio.Task[T]:
    """Of those that ended at once: one that gave something, if any did."""
    return next((task for task in done if task.exception() is None), next(iter(done)))


async def _cut(copies: set[asyncio.Task[T]]) -> None:
    for task in copies:
        task.cancel()
    if copies:
        await asyncio.wait(copies)
    for task in copies:
        if not task.cancelled():
            task.exception()  # looked at: what a copy raises that nobody waits for is no fault
