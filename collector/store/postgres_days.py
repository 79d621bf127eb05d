"""Which days a writer can count on: those that its batches need, and some ahead."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import asyncpg

from collector.clock import Clock
from collector.store import partitions
from collector.store.partitions import day_of

log = logging.getLogger("meshscribe.sink")

AHEAD_DAYS = 3
BEHIND_DAYS = 400  # older ones, and such that lie in the future, share the default partition: a wrong clock makes no thousand tables
RETRY_US = 30_000_000
_NOT_NOW = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
    asyncpg.CheckViolationError,
    asyncpg.InsufficientPrivilegeError,
)
_DAY_US = partitions.DAY_MS * 1000


class Days:
    """What one writer knows of the partitions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: set[int] = set()
        self._hopeless: set[int] = set()  # asked for, and not to be had: rows go into the default partition
        self._not_before_us = 0  # on the monotonic clock

    def forget(self) -> None:
        """After a new connection nothing is known: the server may be another one."""
        self._known, self._hopeless, self._not_before_us = set(), set(), 0

    async def cover(self, connection: asyncpg.Connection, events: Iterable[str]) -> None:
        """Makes the partitions for these event ids, if they are missing and near today. That it cannot be done now fails nothing."""
        now_us = self._clock.now_us()
        today = now_us // _DAY_US
        wanted = {day_of(event) for event in events}
        wanted = {day for day in wanted if today - BEHIND_DAYS <= day <= today + AHEAD_DAYS} | set(range(today, today + AHEAD_DAYS + 1))
        missing = wanted - self._known - self._hopeless
        if not missing or self._clock.monotonic_us() < self._not_before_us:
            return
        try:
            self._known = await partitions.create(connection, missing)
        except _NOT_NOW as error:
            self._not_before_us = self._clock.monotonic_us() + RETRY_US
            log.warning("no partitions for %d days now, rows go into the default partition: %s", len(missing), error)
        else:
            self._hopeless |= missing - self._known
