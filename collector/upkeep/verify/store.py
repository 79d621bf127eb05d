"""The SQL store against itself: SQLite's integrity_check, Postgres's amcheck; and the repair that loses nothing, of indexes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.errors import RetryableError
from collector.journal.file import connect_reader
from collector.sqlite import wal
from collector.sqlite.damage import has_head
from collector.store.errors import retryable
from collector.upkeep.verify import EXAMPLES, Finding
from collector.upkeep.verify.indexes import check, make_anew

BUSY_SECONDS = 5  # that a lock is waited for
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)
CHECK = "store"
_REMEDY = (
    "`meshscribe verify --repair` makes indexes anew, if these alone are damaged; else stop, keep a copy, and put a backup back or run"
    " `sqlite3 FILE .recover`: the journal waits meanwhile (docs/damage.md)"
)
_REMEDY_OF_THE_HEAD = (
    "its first bytes are damaged, or it was never a store: put a backup in its place, or move it away and a new store begins; the journal"
    " waits meanwhile (docs/damage.md)"
)


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


async def sound(engine: AsyncEngine, *, repair: bool = False) -> list[Finding]:
    """What the database says of its own files. `repair`: indexes that are damaged are made anew, and looked at once more.

    Raises RetryableError.
    """
    return [await (_postgres(engine, repair) if engine.dialect.name == "postgresql" else _sqlite(engine, repair))]


async def log(path: Path) -> list[Finding]:
    """Of an SQLite file: transactions behind a damaged frame of its log. SQLite says nothing of them."""
    found = await asyncio.to_thread(wal.look, path)
    if found is None:
        return []
    said = f"{found.said()} to the store. `serve` keeps a copy when it starts, and stores anew what the journal still has (docs/damage.md)"
    return [Finding(CHECK, f"{wal.log_of(path)} (frames)", found.commits, said)]


async def _sqlite(engine: AsyncEngine, repair: bool) -> Finding:
    found = await _file(engine)
    if not repair or found.ok:
        return found
    with retryable("store"):
        mended = await _mended_file(engine)
    return _repaired(found, await _file(engine)) if mended else found


async def _file(engine: AsyncEngine) -> Finding:
    path = Path(engine.url.database or "")
    return await looked(CHECK, path, _REMEDY if await asyncio.to_thread(has_head, path) else _REMEDY_OF_THE_HEAD)


async def _mended_file(engine: AsyncEngine) -> bool:
    """All or nothing: the pages of a damaged index may speak of those of a table, so the file is looked at before it counts."""
    async with engine.connect() as connection:
        try:
            await connection.execute(text("BEGIN IMMEDIATE"))
            await connection.execute(text("REINDEX"))
            sound = [row[0] for row in await connection.execute(text("PRAGMA integrity_check(1)"))] == ["ok"]
            await connection.execute(text("COMMIT" if sound else "ROLLBACK"))
        except DatabaseError as error:
            if isinstance(error, OperationalError):
                raise
            return False
        return sound


async def _postgres(engine: AsyncEngine, repair: bool) -> Finding:
    with retryable("amcheck"):
        looked = await check(engine)
        found = Finding(CHECK, "indexes (amcheck)", len(looked.broken), looked.said)
        if not repair or found.ok:
            return found
        failed = await make_anew(engine, looked.broken)
        again = await check(engine)
    left = "".join(f"; cannot be made anew: {one}" for one in failed)
    return _repaired(found, found._replace(missing=len(again.broken), said=again.said + left))


def _repaired(before: Finding, after: Finding) -> Finding:
    return after._replace(said=f"{after.said}; before, and repaired: {before.said}")
