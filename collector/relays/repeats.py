"""Asks for one answer with as many copies of a request as it takes.

A lost answer would cost the whole time limit, in which a sound target takes a thousand events. So a request that is out for much longer
than answers take is sent again beside the one that waits. That one is not given up: a target that has only become slow still answers it.
The first outcome counts, for good or ill, and the copies that are still under way are cut. Nothing else is sent before that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from collector.relays.patience import Patience

T = TypeVar("T")


class Repeats:
    """The requests to one target, one after the other."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()

    async def answer(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
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
