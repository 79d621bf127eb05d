"""Counts what older versions stored, once, in the background: a task that ends when all is counted.

It runs where the store is written, beside the writer, and not in the migration: a new version need not wait until years are read. What is
not counted yet the API tells with each answer, and readiness shows how far it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.clock import Clock
from collector.errors import RetryableError
from collector.health import Component
from collector.store.usage_book import Counting
from collector.store.usage_recount import ALL, Recount

log = logging.getLogger("meshscribe.usage")

PAUSE_SECONDS = 0.05  # between batches, so that the sink's writer gets its turn
RETRY_SECONDS = 30.0


class BackgroundCount:
    """The task is `run`; the caller cancels it."""

    def __init__(self, engine: AsyncEngine, counting: Counting, clock: Clock) -> None:
        self._recount, self._clock = Recount(engine, counting), clock
        self._back_to: str | None = None
        self._done, self._unread = False, 0

    async def run(self) -> None:
        """A store that does not answer is asked again."""
        while not self._done:
            try:
                self._done = await self._all()
            except RetryableError as error:
                log.warning("exchanges of older versions could not be counted now: %s", error)
                await self._clock.sleep(RETRY_SECONDS)

    async def _all(self) -> bool:
        before = await self._recount.uncounted()
        while before is not None:
            self._back_to = before
            step = await self._recount.step(before, new_only=True)
            if step is None:
                log.info("the usage of all stored exchanges is counted; %d of them could not be read", self._unread)
                break
            before, self._unread = step.oldest, self._unread + step.unread
            await self._clock.sleep(PAUSE_SECONDS)
        return True

    def components(self) -> Sequence[Component]:
        """See health.Health. Nobody waits for it: it is always ok."""
        if self._done or self._back_to is None:
            return (Component("usage", True),)
        return (Component("usage", True, f"older exchanges are being counted, back to {counted_back_to(self._back_to)}"),)


def counted_back_to(uncounted: str) -> str:
    """The time from which on all exchanges are counted, for people. `uncounted`: see Recount."""
    if uncounted == ALL:
        return "none yet"
    return datetime.fromtimestamp(int(uncounted[:8] + uncounted[9:13], 16) / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
