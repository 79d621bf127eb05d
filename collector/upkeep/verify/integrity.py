"""SQLite's integrity_check of a file: of the journal's, and of the store's."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from collector.errors import RetryableError
from collector.journal.file import connect_reader
from collector.upkeep.verify import EXAMPLES, Finding

BUSY_SECONDS = 5  # that a lock is waited for
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)


def integrity(path: Path, busy_seconds: float = BUSY_SECONDS) -> list[str]:
    """What SQLite finds wrong with the file. Raises RetryableError: it cannot be looked at now, as where somebody has locked it."""
    try:
        with closing(connect_reader(path)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {busy_seconds * 1000:.0f}")
            rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
            raise RetryableError(f"{path}: {error}") from error
        rows = [str(error)]
    return [line for row in rows for line in row.splitlines() if line != "ok"]


async def looked(check: str, path: Path, remedy: str) -> Finding:
    """What it finds, as a finding of this check: the first of the lines, and what helps. Raises RetryableError."""
    lines = await asyncio.to_thread(integrity, path)
    said = f"{'; '.join(lines[:EXAMPLES])}: {remedy}" if lines else "sound"
    return Finding(check, f"{path} (integrity_check)", len(lines), said)
