"""What sources of versions have in common that look again and again: a file, another store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from collector.enrich.status import ReflectorStatus, WatchStatus


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
