"""Brings the SQL store's tables up to date by Alembic's migrations, which are in the wheel and in the source tree."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from collector.errors import DamagedError, DamagedInPartError, MeshscribeError, RetryableError, unusable
from collector.settings.sink import is_postgres, shown
from collector.store.postgres_server import FAILURES, PostgresServer

# A disk that is full or fails, a file that another process holds: people mend that, or it passes.
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY}
_PASSING_OF_THE_SYSTEM = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def migrate(url: str, password_file: Path | None = None) -> list[str]:
    """Applies what is missing, in order; returns the revisions applied. Blocks: call it in a thread if a loop runs.

    Whoever else migrates the same store waits. Raises DamagedError if the store is newer than this program, SettingsError if its file
    cannot be used, RetryableError if its server does not answer, or its file is damaged, locked or has no room: DamagedInPartError if
    some of it can be used all the same.
    """
    if is_postgres(url):
        return _migrate(url, PostgresServer(url, password_file))
    with _opening(url), _alone(url):
        _make_file(url)
        done = _migrate(url, None)
        _try_to_write(url)
        return done


def _migrate(url: str, server: PostgresServer | None) -> list[str]:
    config = _config(url)
    config.attributes["server"] = server
    before = asyncio.run(server_revision(server)) if server is not None else revision(url)
    known = revisions()
    if before is not None and before not in known:
        raise DamagedError(f"{shown(url)}: revision {before} is not known here: the store is of a newer version")
    if before == known[-1]:  # no lock is asked for where nothing is to be done
        return []
    try:
        command.upgrade(config, "head")
    except FAILURES as error:
        if server is None:
            raise
        raise server.refused(error) from error
    return known[known.index(before) + 1 :] if before else known


def revision(url: str) -> str | None:
    """The revision that an SQLite file is at; absent for a new one."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


async def server_revision(server: PostgresServer) -> str | None:
    """The revision that a server's tables are at; absent for an empty database. Raises RetryableError."""
    try:
        connection = await server.connect("meshscribe migrate")
        try:
            found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        except asyncpg.UndefinedTableError:
            found = None
        finally:
            await connection.close(timeout=5)
    except FAILURES as error:
        raise server.refused(error) from error
    return found


def head() -> str:
    """The newest revision that this program knows."""
    return revisions()[-1]


def revisions() -> list[str]:
    """All revisions that this program knows, the oldest first."""
    scripts = ScriptDirectory.from_config(_config("sqlite://"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def _scripts() -> Path:
    package = Path(str(files("collector")))
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "alembic"


@contextmanager
def _opening(url: str) -> Iterator[None]:
    """Says which file cannot be used, and why, in place of what the libraries say."""
    try:
        yield
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        raise _meaning(_file(url), cause) from error


def _meaning(path: Path | None, cause: Exception) -> MeshscribeError:
    """What is wrong with the file or its disk may be mended while we wait; what is wrong with the setting may not."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CORRUPT:
        return DamagedInPartError(f"{path}: the file is damaged ({cause}): `meshscribe verify` names what is")
    if code == sqlite3.SQLITE_NOTADB:
        return RetryableError(
            f"{path} is damaged in its first bytes, or was never a store ({cause}): put a backup in its place, or move {path}* away and a"
            " new store begins"
        )
    if code in _PASSING or (isinstance(cause, OSError) and cause.errno in _PASSING_OF_THE_SYSTEM):
        return RetryableError(f"{path}: {cause.strerror if isinstance(cause, OSError) else cause}")
    return unusable("sink.url", path, cause)


def _try_to_write(url: str) -> None:
    """A file that can only be read would be noticed when the first event is lost to it."""
    path = _file(url)
    if path is not None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # who writes there shows that it can be written
                    raise


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One migration of a file at a time, from the making of the file on. On a server alembic/env.py sees to it.

    The folder is locked: a lock on the file itself would drop SQLite's own ones when it is given up.
    """
    path = _file(url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _file(url: str) -> Path | None:
    """Of an SQLite store that has one."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _make_file(url: str) -> None:
    """Readable by its owner only. A new SQLite file gets pages of 16 KiB: records and bodies fit into one, which makes inserts a fifth
    cheaper than pages of 4 KiB.
    """
    path = _file(url)
    if path is None:
        return
    if path.exists() and path.stat().st_size:
        with suppress(PermissionError):  # another user's, who shares it with us
            path.chmod(0o600)  # it holds what people asked
    else:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL")  # writes the file's head, and with it the page size
        connection.close()
