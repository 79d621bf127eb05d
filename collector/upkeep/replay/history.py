"""The journal's file, read beside the process that may be writing it. Positions have no holes, so a time is found by halves."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from collector.errors import DamagedError, RetryableError
from collector.journal import Checkpoint
from collector.journal.file import connect_reader
from collector.journal.reader import Reader
from collector.messages.entry import Entry

READ_BYTES = 2 << 20


class Extent(NamedTuple):
    """What the file holds: entries above `floor` up to `last`; `truncated`: up to where all was processed."""

    journal: str
    floor: int
    last: int
    truncated: int


class History:
    """Raises DamagedError: there is no journal, or none of ours; RetryableError: it cannot be read now."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DamagedError(f"there is no journal {path} (journal.path)")
        self._path, self._connection = path, connect_reader(path)
        self._reader = Reader(path)

    def close(self) -> None:
        """Ends both connections."""
        self._connection.close()
        self._reader.close()

    def extent(self) -> Extent:
        """As it is now."""
        found = self._one("SELECT id, floor_position, truncated, (SELECT max(position) FROM entries) FROM meta")
        return Extent(found[0], found[1], found[3] or found[1], found[2])

    def received_at(self, position: int) -> int:
        """Of an entry that is there (µs)."""
        return int(self._one("SELECT received_at FROM entries WHERE position = ?", position)[0])

    def first_since(self, time_us: int) -> int:
        """The first position that was received at this time or later; behind the last one if there is none."""
        extent = self.extent()
        low, high = extent.floor + 1, extent.last + 1
        while low < high:
            middle = (low + high) // 2
            if self.received_at(middle) < time_us:
                low = middle + 1
            else:
                high = middle
        return low

    async def checkpoint(self, at_most: int) -> Checkpoint | None:
        """The newest one that is kept with a position ≤ at_most, if the entries behind it are kept too."""
        found = await self._reader.checkpoint(at_most)
        return found if found is not None and found.position >= self.extent().floor else None

    async def entries(self, after: int) -> AsyncIterator[Entry]:
        """All behind `after` that are there when they are asked for."""
        while found := await self._reader.entries(after, READ_BYTES):
            for entry in found:
                yield entry
            after = found[-1].position

    def _one(self, statement: str, *values: int) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
        except sqlite3.OperationalError as error:
            raise RetryableError(f"{self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"{self._path} is damaged or no journal: {error}") from error
        if row is None:
            raise RetryableError(f"{self._path}: entries were forgotten while they were read: narrow the span, or raise journal.keep_bytes")
        return row
