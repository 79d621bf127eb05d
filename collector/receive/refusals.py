"""What receivers had to drop, until the journal can be told: one REFUSED entry per proxy, sender and reason, so that the
ledger knows."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

import orjson

from collector.clock import SystemClock
from collector.complaints import Complaints
from collector.errors import RetryableError, blamed
from collector.messages.entry import Kind
from collector.receive import Appender

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.25
MAX_COUNTED = 10_000  # proxies and reasons counted apart; what is beyond is counted under no name


class Count(NamedTuple):
    """What was dropped."""

    messages: int
    entries: int
    bytes: int
    batches: int = 0  # of a tap: it posts them again

    def plus(self, other: Count) -> Count:
        return Count(*map(sum, zip(self, other, strict=True)))


class Refusals:
    """Sums counts and appends them as soon as the journal takes entries again."""

    def __init__(self, journal: Appender, retry_seconds: float = RETRY_SECONDS, max_counted: int = MAX_COUNTED) -> None:
        self._journal, self._max_counted = journal, max_counted
        self._retry_seconds = retry_seconds
        self._complaints = Complaints(log, SystemClock())
        self._counts: dict[tuple[str, str, str], Count] = {}
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, source: str, reason: str, count: Count, sender: str = "") -> None:
        """Counts one drop of the proxy `source`, which `sender` sent."""
        key = (source, reason, sender)
        if key not in self._counts and len(self._counts) >= self._max_counted:
            key = ("", reason, "")
        self._sum(key, count)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._report())

    async def close(self) -> None:
        """A last attempt; what cannot be told to the journal goes to the log."""
        self._closing.set()
        if self._task is not None:
            await self._task
        if not await self._flush():
            log.error("receive: lost without an entry in the ledger: %s", self._counts)

    async def _report(self) -> None:
        while self._counts and not self._closing.is_set():
            try:
                await asyncio.wait_for(self._closing.wait(), self._retry_seconds)
            except TimeoutError:
                await self._flush()
        self._task = None

    async def _flush(self) -> bool:
        """Returns whether the journal took all of them. A journal that takes nothing now is asked again later; an error of ours keeps back
        the one count that met it.
        """
        told = True
        for key in list(self._counts):
            count = self._counts.pop(key)
            try:
                source, reason, sender = key
                await self._journal.append(Kind.REFUSED, source, _payload(reason, count), sender=sender)
            except RetryableError:
                self._sum(key, count)
                return False
            except Exception as error:  # noqa: BLE001 - told; a task that ended would count on and tell nobody
                self._sum(key, count)
                told = False
                self._complaints.tell(blamed(error), f"receive: what was dropped is not in the ledger yet: {blamed(error)}")
        return told

    def _sum(self, key: tuple[str, str, str], count: Count) -> None:
        self._counts[key] = self._counts.get(key, Count(0, 0, 0)).plus(count)


def _payload(reason: str, count: Count) -> bytes:
    told = {"reason": reason, **count._asdict()}
    if not count.batches:
        del told["batches"]
    return orjson.dumps(told)
