"""Sources of versions that look again and again: what they have in common, and services from a store that others write to.

The latter is the same stream of versions as the watch gives, for a process that only passes them on. Guarantees: a store that does not
answer ends nothing, it is asked again; what it gave is given on once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from collector.clock import Clock
from collector.enrich.status import ReflectorStatus, WatchStatus
from collector.enrich.store import VersionStore
from collector.enrich.version import ServiceVersion
from collector.errors import MeshscribeError

log = logging.getLogger("meshscribe.services")


class Polling:
    """The part of `watch.Watch`'s interface that does not depend on where versions come from."""

    def __init__(self, kind: str, interval_s: float, unread: str) -> None:
        """``unread``: what is said while nobody runs it."""
        self._status = ReflectorStatus(kind, "")
        self._interval_s, self._unread = interval_s, unread
        self._running = False
        self._stopping = asyncio.Event()

    async def _wait(self) -> None:
        """Until the next look, or `stop`."""
        try:
            await asyncio.wait_for(self._stopping.wait(), self._interval_s)
        except TimeoutError:
            return

    async def stop(self) -> None:
        """Ends `run`."""
        self._stopping.set()

    def status(self) -> WatchStatus:
        """As `watch.Watch.status`."""
        status = replace(self._status, state="watching" if self._running else "stopped")
        return WatchStatus(
            alive=self._running,
            synced=status.synced,
            detail=status.detail if self._running else self._unread,
            last_heard_us=status.last_heard_us,
            requests=0,
            reflectors=(status,),
        )


class Following(Polling):
    """The interface of `watch.Watch`."""

    def __init__(
        self,
        store: VersionStore,
        on_version: Callable[[ServiceVersion], object],
        on_synced: Callable[[], object],
        *,
        clock: Clock,
        interval_s: float,
    ) -> None:
        super().__init__("store", interval_s, "the store of versions is not being read")
        self._store, self._on_version, self._on_synced, self._clock = store, on_version, on_synced, clock

    async def run(self) -> None:
        """Reads, then reads what is new, until `stop` or cancellation."""
        self._running = True
        try:
            while not self._stopping.is_set():
                await self._read()
                await self._wait()
        finally:
            self._running = False

    async def _read(self) -> None:
        try:
            versions = await self._store.news()
        except MeshscribeError as error:
            self._status.errors += 1
            if self._status.detail != str(error):
                log.warning("the versions of services cannot be followed: %s", error)
            self._status.detail = str(error)
            return
        for version in versions:
            self._on_version(version)
        self._status.events += len(versions)
        self._status.detail = ""
        self._status.last_heard_us = self._clock.now_us()
        if not self._status.synced:
            self._status.synced = True
            self._on_synced()
