"""How this program reaches a Postgres server: the URL, the password, the session's settings. One place for sink, audit API and migrations.

The URL is libpq's, as asyncpg reads it (docs/postgres.md): `postgresql://user@host:5432/db?sslmode=verify-full&sslrootcert=…`, several
hosts, or a Unix socket by `?host=/folder`. What the URL does not say comes from the PG* variables. No password is ever part of a message.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from collector.errors import PermanentError, RetryableError
from collector.settings.sink import dsn, shown

CONNECT_SECONDS = 10.0
_TRUSTED_SECONDS = 1.0  # for so long a connection that rests is taken to be alive
_SINCE = "rests since"
# Broken by the data themselves: data exceptions, integrity, program limits (PostgreSQL's documentation, Appendix A).
_PERMANENT = ("22", "23", "54")
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


@dataclass(frozen=True)
class PostgresServer:
    """A server to connect to. The password file is read anew for each connection, so that secrets can be rotated."""

    url: str
    password_file: Path | None = None

    @property
    def name(self) -> str:
        """The server for people."""
        return shown(self.url)

    async def connect(self, application: str, **settings: str) -> asyncpg.Connection:
        """A connection with these session settings. Raises one of FAILURES."""
        password = {"password": self._password} if self.password_file is not None else {}
        connection = await asyncpg.connect(dsn(self.url), timeout=CONNECT_SECONDS, **password)
        try:
            await self._prepare(connection, {"application_name": application, **settings})
        except BaseException:
            connection.terminate()
            raise
        return connection

    def engine(self, application: str, **settings: str) -> AsyncEngine:
        """An engine over such connections. A connection that died while it rested is replaced in silence (`_answers`)."""

        async def connect() -> object:
            try:
                return await self.connect(application, **settings)
            except FAILURES as error:
                raise OperationalError(f"connect to {self.name}", None, error) from error

        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
        event.listen(engine.sync_engine, "checkin", _rests)
        event.listen(engine.sync_engine, "checkout", _answers)
        return engine

    def refused(self, error: BaseException) -> RetryableError | PermanentError:
        """What a failure means: permanent only if the data themselves are at fault; all else may be mended while the data wait."""
        said = f"{self.name}: {str(error) or type(error).__name__}"
        if isinstance(error, asyncpg.PostgresError):
            state = error.sqlstate or ""
            said += f" [{state}]"
            # The only checks are those that guard the default partition while a day's partition is made.
            if state.startswith(_PERMANENT) and not isinstance(error, asyncpg.CheckViolationError):
                return PermanentError(said)
        return RetryableError(said)

    async def _prepare(self, connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            await connection.execute("SELECT set_config($1, $2, false)", name, value)
        # A server or role set to asynchronous commits would acknowledge what a power cut can take back.
        await connection.execute("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")

    def _password(self) -> str:
        assert self.password_file is not None
        return self.password_file.read_text(encoding="utf-8").strip()


def _rests(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_SINCE] = time.monotonic()


def _answers(connection: AdaptedConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
    """A connection that the server has ended is known to be gone; one that has rested for a while is asked, by one message, since what lies
    between may have forgotten it. (SQLAlchemy's own way, `pool_pre_ping`, opens a transaction each time and ends it: three messages.)
    Raises InvalidatePoolError: then the pool opens new ones.
    """
    try:
        if connection.driver_connection.is_closed():
            raise ConnectionResetError("the server has ended it")
        if time.monotonic() - record.info.get(_SINCE, math.inf) > _TRUSTED_SECONDS:
            connection.run_async(_asked)
    except FAILURES as error:
        raise InvalidatePoolError(f"a connection that rested is gone: {error}") from error


async def _asked(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT 1")
