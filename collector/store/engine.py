"""The SQL store that a URL names: the engine of who reads it, what makes its tables ready, what ends old data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import Table, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from collector.errors import DamagedInPartError, RetryableError, SettingsError
from collector.settings import Relay, Settings
from collector.settings import Sink as SinkSettings
from collector.settings.sink import is_postgres
from collector.sqlite import wal
from collector.sqlite.damage import read_leniently
from collector.sqlite.turns import keep_deadlines
from collector.store.migrate import head, migrate, revisions, server_revision
from collector.store.postgres_server import FAILURES, PostgresServer
from collector.store.retention import PostgresExpiry, SqliteExpiry

log = logging.getLogger("meshscribe")

# A query is planned for its own values: those decide which partitions and which partial indexes serve it.
AUDIT_SETTINGS = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
STATEMENT_SECONDS = 30.0
LOOK_SECONDS = 2.0  # an answer waits no longer for its look to be written


def server(settings: SinkSettings) -> PostgresServer | None:
    """The Postgres server, if the sink is one."""
    return PostgresServer(settings.url, settings.password_file) if is_postgres(settings.url) else None


def open_engine(settings: SinkSettings, statement_seconds: float = STATEMENT_SECONDS) -> AsyncEngine:
    """The audit API's own connections: they read, and never wait for the sink's writer. A server gives up longer statements by itself;
    in a file they end at their task's deadline (sqlite/turns.py).
    """
    postgres = server(settings)
    if postgres:
        return postgres.engine("meshscribe audit", **AUDIT_SETTINGS, statement_timeout=f"{statement_seconds * 1000:.0f}ms")
    url = make_url(settings.url).set(drivername="sqlite+aiosqlite")
    engine = create_async_engine(url, connect_args={"timeout": 10, "check_same_thread": False})
    event.listen(engine.sync_engine, "connect", _lenient)
    read_leniently(engine)
    keep_deadlines(engine)
    return engine


def open_looks(settings: SinkSettings) -> AsyncEngine:
    """One connection that writes who has looked, beside the sink's own: each waits for the other's transactions, which are short."""
    postgres = server(settings)
    limit = f"{LOOK_SECONDS * 1000:.0f}ms"
    if postgres:
        return postgres.engine("meshscribe looks", statement_timeout=limit, lock_timeout=limit)
    url = make_url(settings.url).set(drivername="sqlite+aiosqlite")
    return create_async_engine(url, connect_args={"timeout": LOOK_SECONDS, "check_same_thread": False}, pool_size=1, max_overflow=0)


def _lenient(connection: AdaptedConnection, _: object) -> None:
    """A damaged text costs itself, not the page that it is on."""
    connection.driver_connection.text_factory = _text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def open_expiry(settings: SinkSettings) -> PostgresExpiry | SqliteExpiry:
    """What deletes old data."""
    postgres = server(settings)
    return PostgresExpiry(postgres) if postgres else SqliteExpiry(file_of(settings))


async def prepare(settings: SinkSettings) -> None:
    """Migrates an SQLite file, which is this process's alone. A server's tables are migrated by `meshscribe migrate`, because several
    collectors start at once: raises SettingsError if that was not done. A server that does not answer is waited for later; so is a file
    that is damaged in part: what of it can be read and written is, and what cannot be written waits in the journal. Raises RetryableError:
    nothing can be read of the file, or nothing written to it.
    """
    postgres = server(settings)
    if postgres is None:
        try:
            await asyncio.to_thread(migrate, settings.url)
        except DamagedInPartError as error:
            log.error("the store's tables cannot be looked at; what cannot be stored waits in the journal: %s", error)
        return
    try:
        found = await server_revision(postgres)
    except RetryableError as error:
        log.warning("the sink does not answer; what is received waits in the journal: %s", error)
        return
    if found is not None and found not in revisions():
        raise SettingsError([f"sink.url: {postgres.name} is at revision {found}, which this version does not know: it is of a newer one"])
    if found != head():
        raise SettingsError([f"sink.url: {postgres.name} is at revision {found or 'none'}, needed is {head()}: run `meshscribe migrate`"])


async def not_older(engine: AsyncEngine) -> None:
    """For whoever does not migrate what it reads. Raises SettingsError: the tables are of an older version. Whatever else is wrong with the
    store, the first statement tells better.
    """
    with suppress(SQLAlchemyError, *FAILURES):
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().first()
        if found in revisions()[:-1]:
            raise SettingsError([f"sink.url: the store is at revision {found}, needed is {head()}: run `meshscribe migrate`"])


async def prepare_to_write(settings: SinkSettings) -> None:
    """As `prepare`, by the one process that writes an SQLite file. What is damaged of its log is told before it is gone; the journal feeds
    anew what is gone with it, as far as it still has that: see pipeline/resuming.py.
    """
    if server(settings) is None:
        await asyncio.to_thread(wal.tell_behind, file_of(settings))
    await prepare(settings)


def file_of(settings: SinkSettings) -> Path:
    """The SQLite file."""
    return Path(make_url(settings.url).database or "")


def store_is_there(settings: SinkSettings) -> bool:
    """A missing SQLite file would be made by looking into it; a server is taken to be there."""
    return server(settings) is not None or file_of(settings).is_file()


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Sums over several statements are of one moment, whatever the sink writes in between."""
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.execute(text("BEGIN"))
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def copied_to_sql(settings: Settings) -> Relay | None:
    """The first relay to a SQL store."""
    return next((relay for relay in settings.relays if relay.to == "sql"), None)


def kept_in_sql(settings: Settings) -> SinkSettings:
    """What an operator's tool works on: the sink, or where that is Kafka, the first store that a relay copies it to.

    Raises SettingsError: there is none.
    """
    if not settings.sink.is_kafka:
        return settings.sink
    copy = copied_to_sql(settings)
    if copy is None:
        raise SettingsError(["sink.url: it is Kafka, and no relay copies it to a SQL store: there is nothing to look at"])
    return SinkSettings(url=copy.url, password_file=copy.password_file)


def inserting(engine: AsyncEngine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert into the table that can say what to do where a row is there already."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)
