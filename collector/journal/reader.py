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
from collector.journal.checkpoints import load_checkpoint, load_later_checkpoint
from collector.journal.checksum import text
from collector.journal.faults import translate
from collector.journal.file import connect_reader
from collector.journal.reading import read_entries
from collector.journal.rows import is_damage
from collector.messages.entry import Entry

T = TypeVar("T")


class Reader:
    """Reads one after the other. Raises DamagedError when the file cannot be read, RetryableError when it may later."""

    def __init__(self, path: Path) -> None:
        self._path, self._connection = path, connect_reader(path)
        self._connection.text_factory = bytes  # a damaged text need not be UTF-8
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def entries(self, after: int, max_bytes: int, last: int | None = None) -> list[Entry]:
        """As Journal.read, but empty when there is none. `last`: the newest position, if it is known."""
        return await self._run(partial(read_entries, after=after, max_bytes=max_bytes, last=last))

    async def checkpoint(self, at_most: int) -> Checkpoint | None:
        """As Journal.checkpoint."""
        return await self._run(partial(load_checkpoint, at_most=at_most, file=str(self._path)))

    async def later_checkpoint(self, above: int) -> Checkpoint | None:
        """As Journal.later_checkpoint."""
        return await self._run(partial(load_later_checkpoint, above=above, file=str(self._path)))

    async def holdings(self) -> list[tuple[int, str, str, int]]:
        """See SqliteJournal.holdings."""
        return await self._run(read_holdings)

    def close(self) -> None:
        """Waits for the read that is under way."""
        self._thread.shutdown()
        self._connection.close()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise translate(error, "read") from error
            raise DamagedError(
                f"journal: {self._path} cannot be read back: {error}. Stop, keep a copy, and move {self._path}* away"
                " to begin a new journal: what was not processed yet is lost with it"
            ) from error


def read_holdings(connection: sqlite3.Connection) -> list[tuple[int, str, str, int]]:
    """(position, source, sender, bytes): runs of 1/1000 of the entries that were not processed. Payloads are not loaded."""
    [after] = connection.execute("SELECT max(truncated, floor_position) FROM meta").fetchone()
    [last] = connection.execute("SELECT max(position) FROM entries").fetchone()
    rows = connection.execute(
        # Materialized, because the sorter of a plain GROUP BY carries the payloads.
        "WITH sized AS MATERIALIZED (SELECT position, source, sender, length(payload) AS size FROM entries WHERE position > ?)"
        " SELECT max(position), source, sender, sum(size) FROM sized GROUP BY (position - ?) / ?, source, sender ORDER BY 1",
        (after, after, max(1, ((last or after) - after) // 1000)),
    )
    return [(position, text(source), text(sender), size or 0) for position, source, sender, size in rows]
