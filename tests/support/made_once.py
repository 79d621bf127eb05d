"""What each test would make anew, and would be the same each time, made once for a tester: the tree of commands, the certificates that
clients trust by default, and the tables of a new SQLite store, which are copied. Processes that tests start make all of it themselves, and
so do the tests of migrations.
"""

from __future__ import annotations

import os
import sqlite3
import ssl
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx._transports.default
import pytest
import typer.main
import typer.testing
from sqlalchemy import make_url

from collector.store import migrate as migrating
from collector.store.postgres_server import PostgresServer

MIGRATIONS = Path(__file__).parents[1] / "migrations"
PAGE = 16384  # what a new store takes before it has tables
_migrate = migrating._migrate
_create_ssl_context: Callable[..., ssl.SSLContext] = httpx._transports.default.create_ssl_context


class Tables(NamedTuple):
    """A migrated store without rows, and what was applied to it."""

    file: bytes
    revisions: list[str]


@cache
def _tables() -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrating._make_file(f"sqlite:///{path}")
        applied = _migrate(f"sqlite:///{path}", None)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # what is in memory has no log
            return Tables(connection.serialize(), applied)


def copied(url: str, server: PostgresServer | None) -> list[str]:
    """In place of a migration: where a store is new, and nobody else writes to it, it gets the tables at once."""
    path = Path(make_url(url).database or "") if server is None else None
    if path is None or not path.is_file() or path.stat().st_size > PAGE:
        return _migrate(url, server)
    tables = _tables()
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as store, closing(sqlite3.connect(":memory:")) as empty:
        if not _is_empty(store):
            return _migrate(url, server)
        empty.deserialize(tables.file)
        empty.backup(store)
        store.execute("PRAGMA journal_mode = WAL")
    return list(tables.revisions)


def _is_empty(store: sqlite3.Connection) -> bool:
    """And can be written to."""
    try:
        store.execute("BEGIN IMMEDIATE")
        held = store.execute("SELECT count(*) FROM sqlite_master").fetchall()
        store.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return held == [(0,)] and store.execute("PRAGMA page_size").fetchall() == [(PAGE,)]


@cache
def _trusted(trust_env: bool, *_read: str) -> ssl.SSLContext:
    return _create_ssl_context(trust_env=trust_env)


def trusting(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    """In place of httpx.create_ssl_context: to read a hundred authorities' certificates takes longer than most that a client does."""
    if verify is True and cert is None:
        return _trusted(trust_env, *(os.environ.get(name, "") for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env))
    return _create_ssl_context(verify, cert, trust_env)


def pytest_configure() -> None:
    typer.testing._get_command = cache(typer.main.get_command)
    httpx._transports.default.create_ssl_context = trusting


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    migrating._migrate = _migrate if item.path.is_relative_to(MIGRATIONS) else copied
    return (yield)
