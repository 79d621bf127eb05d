"""The sink on an SQLite file: one writer thread, one transaction a batch, `high` inside it.

WAL with synchronous=FULL: what `write` acknowledged survives a power cut, so the journal may be truncated behind it. Where another file is
put in its place while this runs, an older copy for example, nothing is written to it: what lies between would be in neither.
Next stop: the audit API reads the same file through its own connections.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import orjson

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Output, Place
from collector.sinks.protocol import BEGINNING
from collector.sinks.said import Said, Sayings
from collector.sinks.sqlite_inserts import Inserts
from collector.sinks.texts import write_sqlite
from collector.sqlite.turns import turn
from collector.store import postings, schema
from collector.store.partitions import edge
from collector.store.rows import Row, RowMaker, Rows, fitted
from collector.store.usage_book import AS_USUAL, Book, Counting
from collector.store.usage_deltas import EXCHANGE, ID, Counted, Deltas, without_ended
from collector.store.usage_statements import ENDED, KEY_WITH_MARKS, KEYS_OF_DAY, with_marks

T = TypeVar("T")

LOG_KEPT_BYTES = 64 << 20  # a log that grew beyond, at retention for example, is cut again
LOCKED_SECONDS = 4.0  # another process may hold the file for so long; then it is said, and tried again
_TABLES = (schema.exchanges, schema.payloads, schema.ledger)

_REVISED = """
SELECT exchange, exchange, max(revision) FROM exchanges
WHERE revision > 0 AND exchange IN (SELECT value FROM json_each(?)) GROUP BY exchange
"""
_SUPERSEDE = """
UPDATE exchanges SET superseded = 1 WHERE (id = ? OR (exchange = ? AND revision > 0)) AND revision < ? AND NOT superseded
RETURNING id, time_us, revision, usage_key, usage, exchange
"""
_THERE = "SELECT id FROM exchanges WHERE id IN (SELECT value FROM json_each(?))"
_KEYS = f"{KEYS_OF_DAY} ?"
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

_ADD_HOURS, _ADD_DAYS = with_marks(schema.usage_hours), with_marks(schema.usage_days)


class _RepeatedError(Exception):
    """Some of the rows are there already."""


class SqliteSink:
    """See collector.sinks.protocol.Target. The file must have been migrated."""

    def __init__(self, path: Path, counting: Counting = AS_USUAL, sayings: Sayings | None = None) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sink")
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None  # of the file that it is open on
        self._written: dict[str, Place] = {}  # by journal, what this sink has stored
        self._compared = False  # whether the file that is open now has all that
        self._turn = turn(path)
        self._sayings = sayings  # None: texts are not searched
        self._maker = RowMaker()
        self._book = Book(counting)
        self._inserts = {table.name: Inserts(table) for table in _TABLES}

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
        rows = self._rows(connection, journal, outputs)
        said = self._sayings.of(outputs) if self._sayings else None
        try:
            self._store(connection, journal, rows, high, said)
        except (OverflowError, UnicodeEncodeError):
            self._store(connection, journal, fitted(rows), high, said)
        self._book.saved()

    def _rows(self, connection: sqlite3.Connection, journal: str, outputs: Sequence[Output]) -> Rows:
        rows = self._maker.rows(journal, outputs, self._book.key_of)
        if not self._book.missing:
            return rows
        for day in list(self._book.missing):
            self._book.begin(day, connection.execute(_KEYS, (day,)))
        return self._maker.rows(journal, outputs, self._book.key_of)

    def _store(self, connection: sqlite3.Connection, journal: str, rows: Rows, high: Place | None, said: Said | None) -> None:
        """Whether rows are there already is only looked at where some turn out to be."""
        try:
            self._transact(connection, journal, rows, high, said)
        except _RepeatedError:
            self._transact(connection, journal, rows, high, said, repeated=True)

    def _transact(
        self, connection: sqlite3.Connection, journal: str, rows: Rows, high: Place | None, said: Said | None, *, repeated: bool = False
    ) -> None:
        with self._turn, connection:
            connection.execute("BEGIN IMMEDIATE")
            if not self._compared:
                self._compare(connection)
            revised = self._exchanges(connection, rows.exchanges, repeated) if rows.exchanges else []
            for table, found in (("payloads", rows.payloads), ("ledger", rows.ledger)):
                self._inserts[table].write(connection, found)
            connection.executemany(postings.SQLITE, postings.of_rows(rows.exchanges))
            if self._sayings and said:
                write_sqlite(connection, self._sayings, said, revised)
            if high is not None:
                connection.execute(_SET_HIGH, (journal, *high))
        self._compared = True
        if high is not None:
            self._written[journal] = max(high, self._written.get(journal, high))

    def _compare(self, connection: sqlite3.Connection) -> None:
        """Raises RetryableError: this is not the file that was written before, or it has lost its end."""
        for journal, written in self._written.items():
            found = self._read_high(connection, journal)
            if found < written:
                raise RetryableError(
                    f"{self._path} has what came up to position {found.position}, but had come to {written.position}: another"
                    " file, or an older copy, was put in its place. Start again: the journal then feeds anew what it still has"
                )

    def _new(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
        """Each row that is not there, once."""
        there = {found for (found,) in connection.execute(_THERE, (orjson.dumps([row[ID] for row in rows]),))}
        return list({row[ID]: row for row in reversed(rows) if row[ID] not in there}.values())[::-1]

    def _exchanges(self, connection: sqlite3.Connection, rows: Sequence[Row], repeated: bool) -> list[str]:
        """Rows with what they add to the sums of usage; returns those exchanges that were revised. Raises _RepeatedError."""
        (ended,) = connection.execute(ENDED).fetchone() or (0,)
        deltas = Deltas(edge(ended) if ended else "")
        new = self._new(connection, rows) if repeated else rows
        new, late = without_ended(new, edge(ended)) if ended else (new, [])
        before = connection.total_changes
        self._inserts["exchanges"].write(connection, new)
        if connection.total_changes - before != len(new):
            raise _RepeatedError
        revised = connection.execute(_REVISED, (orjson.dumps([row[EXCHANGE] for row in rows]),)).fetchall()
        marked = [Counted(*row) for one in revised for row in connection.execute(_SUPERSEDE, one).fetchall()]
        deltas.change(new, marked, late)
        if deltas.hours:
            connection.executemany(KEY_WITH_MARKS, self._book.needed(deltas.keys()))
            connection.executemany(_ADD_HOURS, deltas.by_hour())
            connection.executemany(_ADD_DAYS, deltas.by_day())
        return [one[0] for one in revised]

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connected())
        except sqlite3.Error as error:
            self._book.forget()
            if is_of_the_data(error):
                raise PermanentError(f"{self._path}: {error}") from error
            self._disconnect()
            raise RetryableError(f"{self._path}: {self._fault(error)}") from error
        except BaseException:
            self._book.forget()
            raise

    def _connected(self) -> sqlite3.Connection:
        """To the file that has this name now. One that is not there is not made: it would have no tables."""
        if (inode := _inode(self._path)) != self._inode:
            self._disconnect()
        if self._connection is None:
            name = f"{self._path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(name, uri=True, isolation_level=None, timeout=LOCKED_SECONDS, check_same_thread=False)
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "cache_size=-16384",
                "wal_autocheckpoint=4000",
                f"journal_size_limit={LOG_KEPT_BYTES}",
                "temp_store=MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}")
            self._connection, self._inode, self._compared = connection, inode, False
            self._book.forget()  # it knew the keys of the file before
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fault(self, error: sqlite3.Error) -> str:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            return (
                f"the file is damaged ({name}: {error}): stop, keep a copy, run `sqlite3 FILE .recover` or put a backup back; the journal"
                " waits"
            )
        if not self._path.exists():
            return "the file is gone: put it back, or start again, and a new one begins; the journal waits"
        return f"{error} ({name})"


def _inode(path: Path) -> int | None:
    """Which file has this name now; None: none that we may see."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def is_of_the_data(error: sqlite3.Error) -> bool:
    """Whether these values can never be written, wherever they are written to."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the module's own: a value that it cannot bind
        return not isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in _OF_THE_DATA
