"""Reads the file beside the writer, in a thread and with a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from collector.errors import DamagedError
from collector.journal import Checkpoint
from collector.journal.checkpoints import load_checkpoint
from collector.journal.faults import translate
from collector.journal.file import connect_reader
from collector.journal.tail import MAX_ENTRIES
from collector.messages.entry import Entry, Kind

T = TypeVar("T")


class Reader:
    """Reads one after the other. Raises DamagedError when the file cannot be read, RetryableError when it may later."""

    def __init__(self, path: Path) -> None:
        self._connection = connect_reader(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def entries(self, after: int, max_bytes: int) -> list[Entry]:
        """As Journal.read, but empty when there is none."""
        return await self._run(partial(read_entries, after=after, max_bytes=max_bytes))

    async def checkpoint(self, at_most: int) -> Checkpoint | None:
        return await self._run(partial(load_checkpoint, at_most=at_most))

    def close(self) -> None:
        """Waits for the read that is under way."""
        self._thread.shutdown()
        self._connection.close()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)
        except sqlite3.OperationalError as error:
            raise translate(error, "read") from error
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"journal: the file cannot be read back: {error}") from error


def read_entries(connection: sqlite3.Connection, after: int, max_bytes: int) -> list[Entry]:
    """The next entries behind `after`: as many as fit into max_bytes, but at least one if there is one."""
    last = _last_that_fits(connection, after, max_bytes)
    rows = connection.execute(
        "SELECT position, kind, source, received_at, payload FROM entries WHERE position > ? AND position <= ? ORDER BY position",
        (after, last),
    )
    return [Entry(position, Kind(kind), source, received_at, payload) for position, kind, source, received_at, payload in rows]


def _last_that_fits(connection: sqlite3.Connection, after: int, max_bytes: int) -> int:
    """Looks at the running totals only: payloads that would not fit are not loaded."""
    rows = connection.execute(
        "SELECT position, total_bytes, length(payload) FROM entries WHERE position > ? ORDER BY position LIMIT ?", (after, MAX_ENTRIES)
    )
    last, start = after, None
    for position, total, size in rows:
        if start is None:
            start = total - size
        elif total - start > max_bytes:
            break
        last = position
    rows.close()
    return int(last)
