"""What the journal's file takes: why the last write failed, and whether it works again.

While writes fail nothing may come that would show that they work again (a process that is not ready gets no traffic), so a small one is
tried from time to time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress

from collector.clock import Clock
from collector.errors import RetryableError
from collector.journal.writer import Writer
from collector.tasks import cancel

TRY_SECONDS = 1.0


class Disk:
    """`fault`: why nothing can be written now; None as far as known it can."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer, self._clock = writer, clock
        self._task: asyncio.Task[None] | None = None
        self._reason: str | None = None

    @property
    def fault(self) -> str | None:
        """From memory; also when the disk gives no answer at all."""
        silence = self._writer.waiting.silence
        return f"the disk {silence}" if silence else self._reason

    def failed(self, error: BaseException) -> None:
        """A write failed."""
        self._reason = str(error).removeprefix("journal: ")
        if self._task is None:
            self._task = asyncio.create_task(self._try())

    def worked(self) -> None:
        """A write was made."""
        self._reason = None

    async def stop(self) -> None:
        """Tries no more."""
        if self._task is not None:
            await cancel(self._task)

    async def _try(self) -> None:
        while self._reason is not None:
            await self._clock.sleep(TRY_SECONDS)
            with suppress(RetryableError):
                await self._writer.run(_touch)
                self._reason = None
        self._task = None


def _touch(connection: sqlite3.Connection) -> None:
    """Writes what an append would, and takes it back: the table's last page is what an append needs, any other tells nothing of it."""
    connection.execute(
        "INSERT INTO entries (position, kind, source, sender, received_at, total_bytes, crc, payload)"
        " SELECT coalesce(max(position), 0) + 1, 0, '', '', 0, 0, 0, x'' FROM entries"
    )
    connection.execute("DELETE FROM entries WHERE position = (SELECT max(position) FROM entries)")
