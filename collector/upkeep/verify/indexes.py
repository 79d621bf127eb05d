"""The indexes of a Postgres store, by amcheck: which are broken, and how they are made anew.

Looking at a large index, and making it anew, takes as long as it takes: the audit API's limit for statements is lifted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.upkeep.verify import EXAMPLES

INDEXES = text(
    "SELECT c.oid, n.nspname AS schema, c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam JOIN pg_class t ON t.oid = i.indrelid"
    " WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND t.relnamespace = current_schema()::regnamespace ORDER BY 3"
)
_AMCHECK = text("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'")
_CHECK = text("SELECT bt_index_check(CAST(:oid AS oid)::regclass, true)")
_BROKEN = ("XX001", "XX002")  # data corrupted, index corrupted (PostgreSQL's documentation, Appendix A)
_UNREACHABLE = ("08", "57P")  # the connection is lost, the server stops


class Index(NamedTuple):
    """An index by its name."""

    schema: str
    name: str


class Looked(NamedTuple):
    """What amcheck says of all indexes."""

    broken: Sequence[Index]
    said: str


async def check(engine: AsyncEngine, named: TextClause = INDEXES) -> Looked:
    """Looks at each index that the statement names. Raises SQLAlchemy's errors where the server cannot be asked."""
    broken, sound = list[Index](), 0
    faults, unknown = list[str](), list[str]()
    async with _patient(engine) as connection:
        if not (await connection.execute(_AMCHECK)).scalar():
            return Looked([], "not looked at: CREATE EXTENSION amcheck makes it possible")
        for row in (await connection.execute(named)).all():
            try:
                await connection.execute(_CHECK, {"oid": row.oid})
            except DBAPIError as error:
                is_broken = _state(error) in _BROKEN
                (faults if is_broken else unknown).append(f"{row.name}: {_why(error)}")
                broken += [Index(row.schema, row.name)] if is_broken else []
            else:
                sound += 1
    said = f"{_some(faults)}: `meshscribe verify --repair` makes them anew" if faults else f"{sound} are sound"
    return Looked(broken, said + (f"; not looked at: {_some(unknown)}" if unknown else ""))


async def make_anew(engine: AsyncEngine, indexes: Sequence[Index]) -> list[str]:
    """Makes these indexes anew beside those who read and write. Returns those that could not be, and why."""
    failed = []
    async with _patient(engine) as connection:
        quoted = connection.dialect.identifier_preparer.quote_identifier
        for index in indexes:
            try:
                await connection.exec_driver_sql(f"REINDEX INDEX CONCURRENTLY {quoted(index.schema)}.{quoted(index.name)}")
            except DBAPIError as error:
                failed.append(f"{index.name}: {_why(error)}")
    return failed


@asynccontextmanager
async def _patient(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection without limits of time, in which each statement stands alone. Nobody else gets it afterwards."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            await connection.execute(text("SET statement_timeout = 0"))
            yield connection
        finally:
            await connection.invalidate()


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _why(error: DBAPIError) -> str:
    """The reason in a line. Raises the error itself where nobody could be asked."""
    if error.connection_invalidated or not _state(error) or _state(error).startswith(_UNREACHABLE):
        raise error
    return (str(error.orig).splitlines() or [""])[0]


def _some(said: Sequence[str]) -> str:
    return "; ".join(said[:EXAMPLES]) + (f"; and {len(said) - EXAMPLES} more" if len(said) > EXAMPLES else "")
