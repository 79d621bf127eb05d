"""Versions of services in the SQL store: a restart without Kubernetes still answers, and several collectors share what each has seen.

Implements `store.VersionStore` on SQLite and Postgres. Next stop: the keeper fills the catalogue from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Table, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.clock import Clock
from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion
from collector.errors import PermanentError, RetryableError

BATCH = 500


class SqlVersionStore:
    """See store.VersionStore. `table` is sinks.schema.service_versions, migrated."""

    def __init__(self, engine: AsyncEngine, table: Table, clock: Clock) -> None:
        self._engine, self._table, self._clock = engine, table, clock

    async def load(self, saved_since_us: int = 0) -> list[ServiceVersion]:
        """See store.VersionStore.load."""
        table = self._table
        try:
            async with self._engine.connect() as connection:
                rows = await connection.execute(select(table).where(table.c.saved_us >= saved_since_us))
                return [_version(row._mapping) for row in rows]
        except SQLAlchemyError as error:
            raise _told(error) from error

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """See store.VersionStore.save."""
        newest = {(v.uid, v.resource_version, v.deleted): v for v in versions}  # one statement may not touch a row twice
        rows = [_row(version, self._clock.now_us()) for version in newest.values()]
        try:
            async with self._engine.begin() as connection:
                for start in range(0, len(rows), BATCH):
                    await connection.execute(self._upsert(), rows[start : start + BATCH])
        except SQLAlchemyError as error:
            raise _told(error) from error

    async def prune(self, before_us: int, history: int) -> int:
        """See store.VersionStore.prune. Reads all: to be called seldom."""
        table = self._table
        stored = await self.load()
        keep = Catalogue(history, services=len(stored) + 1)
        for version in stored:
            keep.apply(version)
        kept = {id_ for v in stored for id_ in _in_force(keep, v, before_us)}
        gone = [v for v in stored if (v.uid, v.resource_version, v.deleted) not in kept]
        try:
            async with self._engine.begin() as connection:
                for v in gone:
                    same = (table.c.uid == v.uid) & (table.c.resource_version == v.resource_version) & (table.c.deleted == v.deleted)
                    await connection.execute(delete(table).where(same))
        except SQLAlchemyError as error:
            raise _told(error) from error
        return len(gone)

    def _upsert(self) -> Any:
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(self._table)
        new, old = statement.excluded, self._table.c
        earlier = case((new.since_us < old.since_us, new.since_us), else_=old.since_us)
        changed = {"since_us": earlier, "saved_us": new.saved_us, "data": new.data, "generation": new.generation}
        return statement.on_conflict_do_update(index_elements=["uid", "resource_version", "deleted"], set_=changed)


def _in_force(catalogue: Catalogue, version: ServiceVersion, before_us: int) -> set[tuple[str, str, bool]]:
    """The versions of this one's service that were in force at `before_us` or came later; ended services end with it."""
    line = [v for v in catalogue.versions(version.namespace, version.name) if v.kind == version.kind]
    found = {(v.uid, v.resource_version, v.deleted) for v in line if v.since_us >= before_us}
    at = catalogue.as_of(version.namespace, version.name, before_us, version.kind)
    if at is not None:
        found.add((at.uid, at.resource_version, at.deleted))
    return found


def _row(version: ServiceVersion, saved_us: int) -> dict[str, Any]:
    data = {
        "annotations": dict(version.annotations),
        "labels": dict(version.labels),
        "model": dict(version.model),
        "metadata_headers": list(version.metadata_headers),
        "logger_mode": version.logger_mode,
    }
    return {
        "uid": version.uid,
        "resource_version": version.resource_version,
        "deleted": version.deleted,
        "namespace": version.namespace,
        "name": version.name,
        "kind": version.kind,
        "generation": version.generation,
        "since_us": version.since_us,
        "saved_us": saved_us,
        "data": orjson.dumps(data),
    }


def _version(row: Any) -> ServiceVersion:
    data = orjson.loads(row["data"])
    return ServiceVersion(
        namespace=row["namespace"],
        name=row["name"],
        kind=row["kind"],
        uid=row["uid"],
        resource_version=row["resource_version"],
        generation=row["generation"],
        since_us=row["since_us"],
        deleted=bool(row["deleted"]),
        annotations=data["annotations"],
        labels=data["labels"],
        logger_mode=data["logger_mode"],
        metadata_headers=tuple(data["metadata_headers"]),
        model=data["model"],
    )


def _told(error: SQLAlchemyError) -> RetryableError | PermanentError:
    """A store that is down or busy comes back; a value that it refuses does not."""
    if isinstance(error, DBAPIError) and type(error.orig).__name__ in ("IntegrityError", "DataError", "UntranslatableCharacterError"):
        return PermanentError(f"versions of services: {error.orig}")
    return RetryableError(f"versions of services: {error}")
