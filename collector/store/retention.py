"""Ends old data: whole days, by the request's start. On Postgres a day is dropped in no time; in SQLite rows are deleted in small batches.

A day goes when all of it is older than what is kept, so that nothing goes too early. Its exchanges, bodies and ledger windows go together,
and what was written before them and bears a date far ahead (ahead.py). A clock that leaps ahead, or that shows at the start a date days
behind the newest row, deletes nothing for a day.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import asyncpg

from collector.clock import Clock, HeldClock
from collector.errors import RetryableError
from collector.store import ahead, partitions
from collector.store.errors import of_file
from collector.store.partitions import TABLES, edge
from collector.store.postgres_server import FAILURES, PostgresServer
from collector.store.postings import bucket_of

log = logging.getLogger("meshscribe.retention")

CHECK_SECONDS = 3600.0
BATCH_ROWS = 1000
PAUSE_SECONDS = 0.02  # between batches in SQLite, so that the sink's writer gets its turn
TRIES = 5
HOLD_US = partitions.DAY_MS * 1000  # that a clock must have stood ahead before anything is deleted by it
AWAY_US = 2 * HOLD_US  # behind the newest row: so long a process may have been away
_DAY_US = partitions.DAY_MS * 1000
_EPOCH = date(1970, 1, 1)
NEWEST = "SELECT time_us FROM exchanges ORDER BY id DESC LIMIT 1"
T = TypeVar("T")


class Ended(NamedTuple):
    """One step: what was deleted, or would be, and how many rows, where they are counted."""

    what: str
    rows: int | None


class Ending(Protocol):
    """What can be deleted day by day."""

    def end(self, before: int, dry_run: bool = False) -> AsyncIterator[Ended]:
        """Deletes everything older than this day (since 1970-01-01, UTC), step by step. Raises RetryableError."""
        ...

    async def newest_us(self) -> int | None:
        """The time of the newest of it; None if there is none. Raises RetryableError."""
        ...


class Expiry(Ending, Protocol):
    """A store whose old data can be deleted."""

    def end_sums(self, before: int) -> AsyncIterator[Ended]:
        """Deletes the sums of usage that are of days before this one. Raises RetryableError."""
        ...


class UsageExpiry:
    """See Ending: of the sums of usage alone, which have a time of their own."""

    def __init__(self, store: Expiry) -> None:
        self._store = store

    def end(self, before: int, dry_run: bool = False) -> AsyncIterator[Ended]:
        """See Ending. There is no dry run of it."""
        del dry_run
        return self._store.end_sums(before)

    async def newest_us(self) -> int | None:
        """See Expiry."""
        return await self._store.newest_us()


# Said before anything is deleted: what comes of these days from now on is told as late, and is not counted a second time.
_ENDED = "UPDATE usage_state SET ended = {day} WHERE id = 1 AND ended < {day}"
_OLD_SUMS = ("DELETE FROM usage_hours WHERE hour < 24 * {day}", "DELETE FROM usage_days WHERE day < {day}")
_OLD_KEYS = "DELETE FROM usage_keys WHERE id NOT IN (SELECT key FROM usage_days)"


# Of the index of marks, some runs at a time; who makes runs holds the row, so both take what they change in one order.
_OLD_RUNS = "SELECT run FROM mark_runs WHERE high < {before} ORDER BY run LIMIT 8"
_ALONE = "UPDATE marks_state SET run = run"
_RUN = (
    "DELETE FROM mark_runs WHERE run = {run}",
    "DELETE FROM mark_pairs WHERE run = {run}",
    "DELETE FROM mark_ids WHERE part >= {run} << 8 AND part < ({run} + 1) << 8",
)


def first_kept(now_us: int, keep_days: int) -> int:
    """The oldest day of which something is younger than `keep_days`."""
    return (now_us - keep_days * _DAY_US) // _DAY_US


Hold = Callable[[int], Awaitable[int]]  # from the first day that is kept by its age to the one that is kept indeed; RetryableError


class Retention:
    """Deletes what is old, once an hour, until it is cancelled. `hold`: keeps more, if somebody still needs it."""

    def __init__(self, store: Ending, keep_days: int, clock: Clock, hold: Hold | None = None) -> None:
        self._store, self._keep_days, self._hold = store, keep_days, hold
        self._clock = HeldClock(clock, HOLD_US)
        self._began = False

    async def run(self) -> None:
        """A store that does not answer is asked again an hour later."""
        while True:
            await self.once()
            await self._clock.sleep(CHECK_SECONDS)

    async def once(self) -> None:
        """One look."""
        try:
            await self._begin()
            before = first_kept(self._clock.now_us(), self._keep_days)
            if self._clock.doubts:
                log.error("the clock leapt ahead: until it has stood for a day, old data is deleted by the time before")
            if self._hold is not None:
                before = await self._hold(before)
            async for step in self._store.end(before):
                log.info("older than %d days: deleted %s%s", self._keep_days, step.what, "" if step.rows is None else f", {step.rows} rows")
        except RetryableError as error:
            log.warning("old data could not be deleted now: %s", error)

    async def _begin(self) -> None:
        """A clock that was wrong when the process began makes no leap, but the newest row shows it. Where nothing came for days, that is
        taken for the same, and the day that it waits does no harm.
        """
        if self._began:
            return
        newest_us = await self._store.newest_us()
        if newest_us is not None:
            self._clock.begin_at(newest_us + AWAY_US)
        self._began = True


class PostgresExpiry:
    """Drops day partitions, and deletes what is older in the default ones."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def end(self, before: int, dry_run: bool = False) -> AsyncIterator[Ended]:
        """See Expiry."""
        try:
            connection = await self._server.connect("meshscribe retention", statement_timeout="60s", lock_timeout="30s")
            try:
                async for step in self._end(connection, before, dry_run):
                    yield step
            finally:
                connection.terminate()
        except FAILURES as error:
            raise self._server.refused(error) from error

    async def end_sums(self, before: int) -> AsyncIterator[Ended]:
        """See Expiry. Who writes keys waits meanwhile, and is waited for: a key that is about to be used is not deleted."""
        try:
            connection = await self._server.connect("meshscribe retention", statement_timeout="60s", lock_timeout="30s")
            try:
                await connection.execute(_ENDED.format(day="$1::bigint"), before)
                deleted = [_rows(await connection.execute(one.format(day="$1::int"), before)) for one in _OLD_SUMS]
                async with connection.transaction():
                    await connection.execute("LOCK TABLE usage_keys IN SHARE ROW EXCLUSIVE MODE")
                    await connection.execute(_OLD_KEYS)
            finally:
                connection.terminate()
        except FAILURES as error:
            raise self._server.refused(error) from error
        if sum(deleted):
            yield Ended("sums of usage", sum(deleted))

    async def newest_us(self) -> int | None:
        """See Expiry."""
        try:
            connection = await self._server.connect("meshscribe retention", statement_timeout="60s")
            try:
                found: int | None = await connection.fetchval(NEWEST)
                return found
            finally:
                connection.terminate()
        except FAILURES as error:
            raise self._server.refused(error) from error

    async def _end(self, connection: asyncpg.Connection, before: int, dry_run: bool) -> AsyncIterator[Ended]:
        written: ahead.Written = {}
        if not dry_run:
            await connection.execute(_ENDED.format(day="$1::bigint"), before)
        for day in sorted(day for day in await partitions.days(connection) if day < before):
            if not dry_run:
                written = ahead.later(written, await self._written(connection, day))
                await self._drop(connection, day)
            yield Ended((_EPOCH + timedelta(days=day)).isoformat(), None)
        if dry_run:
            stray = sum([await connection.fetchval(f"SELECT count(*) FROM {t}_default WHERE id < $1", edge(before)) for t in TABLES])
            if stray:
                yield Ended("the default partitions", stray)
            return
        await connection.execute("DELETE FROM marks WHERE bucket < $1", bucket_of(edge(before)))
        while found := [row["run"] for row in await connection.fetch(_OLD_RUNS.format(before="$1"), edge(before))]:
            async with connection.transaction():
                await connection.execute(_ALONE)
                for statement in _RUN:
                    await connection.executemany(statement.format(run="$1::bigint"), [(run,) for run in found])
        while deleted := await partitions.clear_default(connection, before, BATCH_ROWS):
            yield Ended("the default partitions", deleted)
        if deleted := await ahead.end_postgres(connection, written, ahead.first_suspect(before)):
            yield Ended("dates ahead of their time", deleted)

    async def _written(self, connection: asyncpg.Connection, day: int) -> ahead.Written:
        try:
            return await ahead.written_postgres(connection, day)
        except asyncpg.QueryCanceledError:  # a day too large to be looked through: its deletion does not wait for it
            return {}

    async def _drop(self, connection: asyncpg.Connection, day: int) -> None:
        for left in reversed(range(TRIES)):
            try:
                async with partitions.alone(connection):
                    await partitions.drop(connection, day)
            except asyncpg.LockNotAvailableError:
                if not left:
                    raise
            else:
                return


class SqliteExpiry:
    """Deletes rows in small batches, between which the sink writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def end(self, before: int, dry_run: bool = False) -> AsyncIterator[Ended]:
        """See Expiry."""
        if not dry_run:
            await asyncio.to_thread(self._guarded, lambda connection: connection.execute(_ENDED.format(day="?1"), (before,)).rowcount)
        for table in TABLES:
            work = self._count if dry_run else partial(self._delete, first_ahead=ahead.first_suspect(before))
            rows = await asyncio.to_thread(self._guarded, work, table, edge(before))
            if rows:
                yield Ended(table, rows)
        if not dry_run:
            await asyncio.to_thread(self._guarded, self._forget, edge(before))

    async def end_sums(self, before: int) -> AsyncIterator[Ended]:
        """See Expiry."""
        if deleted := await asyncio.to_thread(self._guarded, self._end_sums, before):
            yield Ended("sums of usage", deleted)

    def _end_sums(self, connection: sqlite3.Connection, before: int) -> int:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_ENDED.format(day="?1"), (before,))
        deleted = sum(connection.execute(one.format(day="?1"), (before,)).rowcount for one in _OLD_SUMS)
        connection.execute(_OLD_KEYS)
        connection.execute("COMMIT")
        return deleted

    async def newest_us(self) -> int | None:
        """See Expiry."""
        return await asyncio.to_thread(self._guarded, lambda connection: (connection.execute(NEWEST).fetchone() or (None,))[0])

    def _guarded(self, work: Callable[..., T], *what: object) -> T:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
            try:
                return work(connection, *what)
            finally:
                connection.close()
        except sqlite3.Error as error:
            damaged = ": the file is damaged, `meshscribe verify` names what is" if of_file(error) else ""
            raise RetryableError(f"{self._path}: {error}{damaged}") from error

    def _count(self, connection: sqlite3.Connection, table: str, before: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {table} WHERE id < ?", (before,)).fetchone()[0])

    def _forget(self, connection: sqlite3.Connection, before: str) -> None:
        """The index of marks, but for the bucket, and the runs, that the first day which is kept begins in."""
        bucket = bucket_of(before)
        some = f"SELECT bucket, batch FROM marks WHERE bucket < ? LIMIT {BATCH_ROWS}"
        statement = f"DELETE FROM marks WHERE (bucket, batch) IN ({some})"
        while connection.execute(statement, (bucket,)).rowcount:
            time.sleep(PAUSE_SECONDS)
        while found := connection.execute(_OLD_RUNS.format(before="?"), (before,)).fetchall():
            connection.execute("BEGIN IMMEDIATE")
            for statement in _RUN:
                connection.executemany(statement.format(run="?1"), found)
            connection.execute("COMMIT")
            time.sleep(PAUSE_SECONDS)

    def _delete(self, connection: sqlite3.Connection, table: str, before: str, first_ahead: str) -> int:
        written = ahead.written_sqlite(connection, table, before)
        statement = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id < ? ORDER BY id LIMIT {BATCH_ROWS})"
        total = 0
        while deleted := connection.execute(statement, (before,)).rowcount:
            total += deleted
            time.sleep(PAUSE_SECONDS)
        while found := ahead.suspects_sqlite(connection, written, first_ahead, BATCH_ROWS):
            ahead.end_sqlite(connection, found)
            total += len(found)
            time.sleep(PAUSE_SECONDS)
        return total


def _rows(told: str) -> int:
    """How many rows a command says it changed."""
    return int(told.rpartition(" ")[2])
