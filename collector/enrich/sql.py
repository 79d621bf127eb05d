"""Versions of services in the SQL store: a restart without Kubernetes still answers, and several collectors share what each has seen.

Implements `store.VersionStore` on SQLite and Postgres. Next stop: the keeper fills the catalogue from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Insert, RowMapping, Table, bindparam, case, delete, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.clock import Clock
from collector.enrich.store import Identity, data_of, identity, superseded, version_from
from collector.enrich.version import ServiceVersion
from collector.errors import PermanentError, RetryableError
from collector.store.engine import inserting
from collector.store.sql_types import Statement

BATCH = 500
# A row is written under the store's clock and seen once its transaction ends: news looks back so far.
OVERLAP_US = 60_000_000


class SqlVersionStore:
    """See store.VersionStore. `table` is sinks.schema.service_versions, migrated."""

    def __init__(self, engine: AsyncEngine, table: Table, clock: Clock) -> None:
        """The engine stays the caller's."""
        self._engine, self._table, self._clock = engine, table, clock
        self._given_us = 0

    async def load(self) -> list[ServiceVersion]:
        """See store.VersionStore.load."""
        self._given_us = 0
        return await self.news()

    async def news(self) -> list[ServiceVersion]:
        """See store.VersionStore.news. The clocks of those who save may differ by less than `OVERLAP_US`."""
        began_us = self._clock.now_us()
        rows = await self._rows(select(self._table).where(self._table.c.saved_us >= self._given_us - OVERLAP_US))
        self._given_us = began_us
        return [_version(row) for row in rows]

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """See store.VersionStore.save."""
        newest = {identity(v): v for v in versions}  # one statement may not touch a row twice
        rows = [_row(version, self._clock.now_us()) for version in newest.values()]
        try:
            async with self._engine.begin() as connection:
                for start in range(0, len(rows), BATCH):
                    await connection.execute(self._upsert(), rows[start : start + BATCH])
        except SQLAlchemyError as error:
            raise _told(error) from error

    async def prune(self, before_us: int, history: int) -> int:
        """See store.VersionStore.prune. Reads the keys of all: to be called seldom. Deletes in short transactions."""
        table = self._table
        rows = await self._rows(select(*(table.c[name] for name in _KEYS)))
        gone = sorted(await asyncio.to_thread(_superseded, rows, before_us, history))
        this = (table.c.uid == bindparam("u")) & (table.c.resource_version == bindparam("r")) & (table.c.deleted == bindparam("d"))
        try:
            for start in range(0, len(gone), BATCH):
                async with self._engine.begin() as connection:
                    named = [{"u": uid, "r": number, "d": deleted} for uid, number, deleted in gone[start : start + BATCH]]
                    await connection.execute(delete(table).where(this), named)
        except SQLAlchemyError as error:
            raise _told(error) from error
        return len(gone)

    async def close(self) -> None:
        """See store.VersionStore.close."""

    async def _rows(self, statement: Statement) -> Sequence[RowMapping]:
        try:
            async with self._engine.connect() as connection:
                rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
                return rows
        except SQLAlchemyError as error:
            raise _told(error) from error

    def _upsert(self) -> Insert:
        statement = inserting(self._engine, self._table)
        new, old = statement.excluded, self._table.c
        earlier = case((new.since_us < old.since_us, new.since_us), else_=old.since_us)
        changed = {"since_us": earlier, "saved_us": new.saved_us, "data": new.data, "generation": new.generation}
        return statement.on_conflict_do_update(index_elements=["uid", "resource_version", "deleted"], set_=changed)


_KEYS = ("uid", "resource_version", "deleted", "namespace", "name", "kind", "generation", "since_us")


def _superseded(rows: Sequence[RowMapping], before_us: int, history: int) -> set[Identity]:
    return superseded((_bare(row) for row in rows), before_us, history)


def _bare(row: RowMapping) -> ServiceVersion:
    return ServiceVersion(**{name: row[name] for name in _KEYS})


def _row(version: ServiceVersion, saved_us: int) -> dict[str, object]:
    facts = {name: getattr(version, name) for name in _KEYS}
    return {**facts, "saved_us": saved_us, "data": data_of(version)}


def _version(row: RowMapping) -> ServiceVersion:
    return version_from(row["data"], **{name: row[name] for name in _KEYS})


def _told(error: SQLAlchemyError) -> RetryableError | PermanentError:
    """A store that is down or busy comes back; a value that it refuses does not."""
    if isinstance(error, DBAPIError) and type(error.orig).__name__ in ("IntegrityError", "DataError", "UntranslatableCharacterError"):
        return PermanentError(f"versions of services: {error.orig}")
    return RetryableError(f"versions of services: {error}")
