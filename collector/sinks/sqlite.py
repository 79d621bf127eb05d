"""The sink on an SQLite file: one writer thread, one transaction a batch, `high` inside it.

WAL with synchronous=FULL: what `write` acknowledged survives a power cut, so the journal may be truncated behind it.
Next stop: the audit API reads the same file through its own connections.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TypeVar

import orjson
from sqlalchemy import Table
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.dialects.sqlite import insert

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Output, Place
from collector.sinks.protocol import BEGINNING
from collector.sqlite.turns import turn
from collector.store import schema
from collector.store.fitting import fitted
from collector.store.rows import Row, RowMaker, Rows

T = TypeVar("T")

WAL_KEPT = f"journal_size_limit={64 << 20}"  # bytes: a log that grew beyond, at retention for example, is cut again
LOCKED_SECONDS = 4.0  # another process may hold the file for so long; then it is said, and tried again
_TABLES = (schema.exchanges, schema.payloads, schema.ledger)

_REVISED = """
SELECT exchange, exchange, max(revision) FROM exchanges
WHERE revision > 0 AND exchange IN (SELECT value FROM json_each(?)) GROUP BY exchange
"""
_SUPERSEDE = "UPDATE exchanges SET superseded = 1 WHERE (id = ? OR (exchange = ? AND revision > 0)) AND revision < ?"
_HIGH = "SELECT position, ordinal FROM places WHERE journal = ?"
_SET_HIGH = (
    "INSERT INTO places (journal, position, ordinal) VALUES (?, ?, ?) "
    "ON CONFLICT (journal) DO UPDATE SET position = excluded.position, ordinal = excluded.ordinal "
    "WHERE (places.position, places.ordinal) < (excluded.position, excluded.ordinal)"  # it never goes back
)


# Result codes (sqlite.org/rescode.html) that speak of the values alone. All others are of the file, the disk or another process: what
# cannot be written now may be written when that is mended, and must not go to the dead letters of the same broken file.
_OF_THE_DATA = {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

ROWS_AT_ONCE = 25  # in one statement: each statement gives up the interpreter lock once


def _insert(table: Table, rows: int) -> str:
    names = [column.name for column in table.columns]
    statement = insert(table).values([dict.fromkeys(names)] * rows).on_conflict_do_nothing(index_elements=["id"])
    return str(statement.compile(dialect=dialect.dialect(paramstyle="qmark")))


class SqliteSink:
    """See collector.sinks.protocol.Target. The file must have been migrated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sink")
        self._connection: sqlite3.Connection | None = None
        self._turn = turn(path)
        self._maker = RowMaker()
        self._inserts = {table.name: (_insert(table, 1), _insert(table, ROWS_AT_ONCE)) for table in _TABLES}

    async def high(self, journal: str) -> Place:
        return await self._run(lambda c: self._read_high(c, journal))

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        await self._run(lambda c: self._write(c, journal, outputs, high))

    async def resend(self, journal: str, outputs: Sequence[Output]) -> None:
        await self._run(lambda c: self._write(c, journal, outputs, None))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _read_high(self, connection: sqlite3.Connection, journal: str) -> Place:
        row = connection.execute(_HIGH, (journal,)).fetchone()
        return Place(*row) if row else BEGINNING

    def _write(self, connection: sqlite3.Connection, journal: str, outputs: Sequence[Output], high: Place | None) -> None:
        rows = self._maker.rows(journal, outputs)
        try:
            self._transact(connection, journal, rows, high)
        except (OverflowError, UnicodeEncodeError):
            self._transact(connection, journal, fitted(rows), high)

    def _transact(self, connection: sqlite3.Connection, journal: str, rows: Rows, high: Place | None) -> None:
        with self._turn, connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, found in (("exchanges", rows.exchanges), ("payloads", rows.payloads), ("ledger", rows.ledger)):
                self._insert(connection, table, found)
            if rows.exchanges:  # whichever of its revisions came first
                revised = connection.execute(_REVISED, (orjson.dumps([row[1] for row in rows.exchanges]),)).fetchall()
                connection.executemany(_SUPERSEDE, revised)
            if high is not None:
                connection.execute(_SET_HIGH, (journal, *high))

    def _insert(self, connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
        one, many = self._inserts[table]
        whole = len(rows) // ROWS_AT_ONCE * ROWS_AT_ONCE
        for start in range(0, whole, ROWS_AT_ONCE):
            connection.execute(many, tuple(chain.from_iterable(rows[start : start + ROWS_AT_ONCE])))
        connection.executemany(one, rows[whole:])

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connected())
        except sqlite3.Error as error:
            if is_of_the_data(error):
                raise PermanentError(f"{self._path}: {error}") from error
            self._disconnect()
            raise RetryableError(f"{self._path}: {_fault(error)}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=LOCKED_SECONDS, check_same_thread=False)
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "cache_size=-16384",
                "wal_autocheckpoint=4000",
                WAL_KEPT,
                "temp_store=MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}")
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_of_the_data(error: sqlite3.Error) -> bool:
    """Whether these values can never be written, wherever they are written to."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the module's own: a value that it cannot bind
        return not isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in _OF_THE_DATA


def _fault(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return (
            f"the file is damaged ({name}: {error}): stop, keep a copy, run `sqlite3 FILE .recover` or put a backup back; the journal waits"
        )
    return f"{error} ({name})"
