"""SQLite's integrity_check of a file: of the journal's, and of the store's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from collector.errors import RetryableError
from collector.journal.file import connect_reader
from collector.verify import EXAMPLES

BUSY_SECONDS = 5  # that a lock is waited for
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)


def integrity(path: Path) -> list[str]:
    """What SQLite finds wrong with the file. Raises RetryableError: it cannot be looked at now, as where somebody has locked it."""
    try:
        with closing(connect_reader(path)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
            raise RetryableError(f"{path}: {error}") from error
        rows = [str(error)]
    return [line for row in rows for line in row.splitlines() if line != "ok"]


def told(lines: list[str], remedy: str) -> str:
    """The first of the lines, and what helps."""
    return f"{'; '.join(lines[:EXAMPLES])}: {remedy}" if lines else "sound"
