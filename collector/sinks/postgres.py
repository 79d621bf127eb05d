"""The sink on a Postgres server: one connection, one transaction a batch, `high` inside it.

Rows go as arrays, one a column (`unnest`), which costs client and server least of what de-duplicates. Several writers do not deadlock:
each takes its journal's place first, then rows in the order of tables and ids. A server that is down, restarts or is full is waited
for: the next `write` connects anew. Next stop: the audit API and the relays read the same tables through their own connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import TypeVar

import asyncpg

from collector.clock import Clock
from collector.errors import PermanentError, RetryableError
from collector.messages.event import Output, Place
from collector.sinks.protocol import BEGINNING
from collector.sinks.said import Said, Sayings
from collector.sinks.texts import write_postgres
from collector.store import postings, schema
from collector.store.partitions import edge
from collector.store.postgres_days import Days
from collector.store.postgres_server import FAILURES, PostgresServer
from collector.store.rows import STATEMENTS, Row, RowMaker, Rows, chunks, fitted
from collector.store.usage_book import AS_USUAL, Book, Counting
from collector.store.usage_deltas import EXCHANGE, ID, Counted, Deltas, without_ended
from collector.store.usage_statements import ENDED, KEYS_OF_DAY, KEYS_WITH_ARRAYS, with_arrays

T = TypeVar("T")

STATEMENT_SECONDS = 60
SETTINGS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
}
_HIGH = "SELECT position, ordinal FROM places WHERE journal = $1"
# `high` never goes back: of two writers of one journal, the one that is behind cannot undo the other's place. Either way this locks the
# place, so that one of them waits for the other.
_SET_HIGH = """
INSERT INTO places (journal, position, ordinal) VALUES ($1, $2, $3)
ON CONFLICT (journal) DO UPDATE SET position = excluded.position, ordinal = excluded.ordinal
WHERE (places.position, places.ordinal) < (excluded.position, excluded.ordinal)
"""
# The ids of all revisions of an exchange begin alike, so that ranges of ids keep these two inside the partitions that the batch is in.
_REVISED = """
SELECT exchange, max(revision) FROM exchanges
WHERE revision > 0 AND exchange = ANY ($1::text[]) AND id >= $2 AND id < $3 GROUP BY exchange ORDER BY exchange
"""
_SUPERSEDE = """
UPDATE exchanges SET superseded = true
WHERE exchange = $1 AND revision < $2 AND NOT superseded AND id >= $3 AND id < $4
RETURNING id, time_us, revision, usage_key, usage, exchange
"""
_KEYS = f"{KEYS_OF_DAY} $1"
_ADD_HOURS, _ADD_DAYS = with_arrays(schema.usage_hours), with_arrays(schema.usage_days)


class _RepeatedError(Exception):
    """Some of the rows are there already."""


class PostgresSink:
    """See collector.sinks.protocol.Target. The tables must have been migrated. `answer_seconds`: then a server that hangs is given up."""

    def __init__(
        self,
        server: PostgresServer,
        clock: Clock,
        counting: Counting = AS_USUAL,
        sayings: Sayings | None = None,
        answer_seconds: float = 2 * STATEMENT_SECONDS,
    ) -> None:
        self._server, self._answer_seconds = server, answer_seconds
        self._connection: asyncpg.Connection | None = None
        self._alone = asyncio.Lock()
        self._days = Days(clock)
        self._sayings = sayings  # None: texts are not searched
        self._maker = RowMaker()
        self._book = Book(counting)
        self._thread = ThreadPoolExecutor(1, "sink")  # compression must not keep the receivers waiting

    async def high(self, journal: str) -> Place:
        async with self._alone:
            return await self._guarded(lambda connection: self._read_high(connection, journal))

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        async with self._alone:
            await self._stored(journal, outputs, high)

    async def resend(self, journal: str, outputs: Sequence[Output]) -> None:
        async with self._alone:
            await self._stored(journal, outputs, None)

    async def _stored(self, journal: str, outputs: Sequence[Output], high: Place | None) -> None:
        await self._guarded(self._begin_days)
        rows = await self._rows_of(journal, outputs)
        while self._book.missing:  # a new connection makes the book forget, also what was missing
            await self._guarded(self._begin_days)
            rows = await self._rows_of(journal, outputs)
        known, said = self._book.known, await self._said(outputs)
        await self._guarded(lambda connection: self._write(connection, journal, rows, high, known, said))
        self._book.saved()

    async def _rows_of(self, journal: str, outputs: Sequence[Output]) -> Rows:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._rows, journal, outputs)

    async def _said(self, outputs: Sequence[Output]) -> Said | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._sayings.of, outputs) if self._sayings else None

    async def _begin_days(self, connection: asyncpg.Connection) -> None:
        for day in list(self._book.missing):
            self._book.begin(day, [tuple(row) for row in await connection.fetch(_KEYS, day)])

    async def close(self) -> None:
        async with self._alone:
            if self._connection is not None:
                try:
                    await self._connection.close(timeout=5)
                except FAILURES:
                    self._connection.terminate()
                self._connection = None
        self._thread.shutdown()

    def _rows(self, journal: str, outputs: Sequence[Output]) -> Rows:
        rows = self._maker.rows(journal, outputs, self._book.key_of)
        for found in (rows.exchanges, rows.payloads, rows.ledger):
            found.sort(key=itemgetter(0))
        return rows

    async def _read_high(self, connection: asyncpg.Connection, journal: str) -> Place:
        row = await connection.fetchrow(_HIGH, journal)
        return Place(*row) if row else BEGINNING

    async def _write(
        self, connection: asyncpg.Connection, journal: str, rows: Rows, high: Place | None, known: int, said: Said | None
    ) -> None:
        if known != self._book.known:
            raise RetryableError("the server was connected anew, and may be another one")
        await self._days.cover(connection, [row[0] for row in (*rows.exchanges, *rows.ledger)])
        try:
            await self._store(connection, journal, rows, high, said)
        except asyncpg.PostgresError as error:
            if not isinstance(self._server.refused(error), PermanentError):
                raise
            await connection.execute("ROLLBACK")
            await self._store(connection, journal, fitted(rows), high, said)

    async def _store(self, connection: asyncpg.Connection, journal: str, rows: Rows, high: Place | None, said: Said | None) -> None:
        """Which rows are there already is only asked where some turn out to be."""
        try:
            await self._transact(connection, journal, rows, high, said)
        except _RepeatedError:
            await connection.execute("ROLLBACK")
            await self._transact(connection, journal, rows, high, said, repeated=True)

    async def _transact(
        self, connection: asyncpg.Connection, journal: str, rows: Rows, high: Place | None, said: Said | None, *, repeated: bool = False
    ) -> None:
        """All or nothing. Does not roll back what fails: the connection is given up, so that a server that hangs cannot hold us too."""
        await connection.execute("BEGIN")
        if high is not None:
            await connection.execute(_SET_HIGH, journal, *high)
        deltas, new, late = Deltas(), list[Row](), list[Row]()
        if rows.exchanges:
            day = await connection.fetchval(ENDED)
            deltas = Deltas(edge(day) if day else "")
            new, late = await self._insert_exchanges(connection, rows.exchanges, deltas.ended, repeated)
        for table, found in (("payloads", rows.payloads), ("ledger", rows.ledger)):
            for columns in chunks(found):
                await connection.execute(STATEMENTS[table], *columns)
        if marked := postings.of_rows(rows.exchanges):
            await connection.execute(postings.POSTGRES, *zip(*marked, strict=True))
        revised: list[str] = []
        if rows.exchanges:
            marked_now, revised = await self._supersede(connection, rows.exchanges)
            deltas.change(new, marked_now, late)
        if self._sayings and said:
            await write_postgres(connection, self._sayings, said, revised)
        if rows.exchanges:
            await self._count(connection, deltas)
        await connection.execute("COMMIT")

    async def _insert_exchanges(
        self, connection: asyncpg.Connection, rows: Sequence[Row], ended: str, repeated: bool
    ) -> tuple[list[Row], list[Row]]:
        """Returns those that were not there, each once, and of them those that came too late. Raises _RepeatedError."""
        wanted = list({row[ID]: row for row in reversed(rows)}.values())[::-1] if repeated else list(rows)
        wanted, late = without_ended(wanted, ended) if ended else (wanted, [])
        inserted, statement = set[str](), STATEMENTS["exchanges"]
        for columns in chunks(wanted):
            if repeated:
                inserted.update(row["id"] for row in await connection.fetch(f"{statement} RETURNING id", *columns))
            elif await connection.execute(statement, *columns) != f"INSERT 0 {len(columns[0])}":
                raise _RepeatedError
        if repeated:
            wanted, late = ([row for row in some if row[ID] in inserted] for some in (wanted, late))
        return wanted, late

    async def _supersede(self, connection: asyncpg.Connection, rows: Sequence[Row]) -> tuple[list[Counted], list[str]]:
        """Marks what has a later revision, whichever of them came first, and returns it, and which exchanges were revised."""
        low, _ = _like(rows[0][0])
        _, high = _like(rows[-1][0])
        marked: list[Counted] = []
        revised = await connection.fetch(_REVISED, [row[EXCHANGE] for row in rows], low, high)
        for exchange, newest in revised:
            marked += [Counted(*row) for row in await connection.fetch(_SUPERSEDE, exchange, newest, *_like(exchange))]
        return marked, [exchange for exchange, _ in revised]

    async def _count(self, connection: asyncpg.Connection, deltas: Deltas) -> None:
        """Comes last, so that other writers wait for these rows as short as can be. All take them in one order."""
        if not deltas.hours:
            return
        if keys := self._book.needed(deltas.keys()):
            await connection.execute(KEYS_WITH_ARRAYS, *zip(*keys, strict=True))
        for statement, sums in ((_ADD_HOURS, deltas.by_hour()), (_ADD_DAYS, deltas.by_day())):
            if sums:
                await connection.execute(statement, *zip(*sums, strict=True))

    async def _guarded(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """After a failure the connection is not used again: who knows what state it is in."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await work(await self._connected())
        except FAILURES as error:
            self._disconnect()
            raise self._server.refused(error) from error
        except BaseException:
            self._disconnect()
            raise

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._days.forget()
            self._book.forget()
            self._connection = await self._server.connect("meshscribe sink", **SETTINGS)
        return self._connection

    def _disconnect(self) -> None:
        self._book.forget()
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _like(event: str) -> tuple[str, str]:
    """The bounds (from, before) of all event ids of the same millisecond."""
    return f"{event[:13]}-", f"{event[:13]}."
