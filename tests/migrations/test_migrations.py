"""The migrations make what collector/store/schema.py declares, on both databases, also out of a store with data in it."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.ddl.impl import DefaultImpl
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateIndex

from collector.errors import DamagedError, RetryableError, SettingsError
from collector.settings import Sink
from collector.store import migrate as migrating
from collector.store.engine import prepare
from collector.store.migrate import head, migrate, revisions
from collector.store.partitions import TABLES, is_partition
from collector.store.postgres_server import PostgresServer
from collector.store.schema import exchanges, is_of_the_index, ledger, metadata, payloads, places
from tests.audit.rows import NOW, exchange, payload, window
from tests.support import warm_start
from tests.support.postgres import Database, in_thread

# Columns of the ledger that later migrations add, with what they make of an older row.
NEWER: dict[str, Any] = {
    "sender": "",
    **dict.fromkeys(("without_tap", "without_access_log", "access_log_entries", "refused", "malformed", "cured"), 0),
    "away_from_us": None,
    "away_to_us": None,
}
# Likewise of exchanges.
NEW = dict.fromkeys(
    ("crc", "consumer", "user", "protocol", "annotations", "billable", "usage", "usage_key", "tokens", "first_token_us", "marks")
)
LOCK = 0x6D657368736D6967  # alembic/env.py's
# Two indexes are of expressions, which SQLAlchemy does not read out of SQLite: a test of their own compares them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index:UserWarning"),
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index:sqlalchemy.exc.SAWarning"),
]


class Store:
    """A database at the URL, of either kind."""

    def __init__(self, url: str) -> None:
        self.url = url

    def look(self, work: Callable[[Connection], Any]) -> Any:
        """Does it on a connection, in a transaction."""
        if self.url.startswith("sqlite"):
            engine = create_engine(self.url)
            with engine.begin() as connection:
                found = work(connection)
            engine.dispose()
            return found
        return in_thread(lambda: asyncio.run(self._look(work)))

    async def _look(self, work: Callable[[Connection], Any]) -> Any:
        engine = PostgresServer(self.url).engine("test")
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    def upgrade(self, to: str) -> None:
        in_thread(lambda: command.upgrade(migrating._config(self.url), to))

    def downgrade(self, to: str) -> None:
        in_thread(lambda: command.downgrade(migrating._config(self.url), to))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "sqlite":
        return Store(f"sqlite:///{request.getfixturevalue('tmp_path')}/events.db")
    return Store(request.getfixturevalue("empty_database").url)


def differences(connection: Connection) -> list[Any]:
    def ours(name: str | None, kind: str, _: object) -> bool:
        return not (kind == "table" and name is not None and (is_partition(name) or is_of_the_index(name) or name == "alembic_version"))

    options = {"compare_type": True, "compare_server_default": True, "include_name": ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_migrations_make_what_is_declared(store: Store) -> None:
    assert migrate(store.url) == revisions()
    assert store.look(differences) == []


@pytest.mark.parametrize("name", ["ix_exchanges_model", "ix_exchanges_path"])
def test_an_index_of_an_expression_is_made_as_it_is_declared_in_a_file_too(tmp_path: Path, name: str) -> None:
    store = Store(f"sqlite:///{tmp_path}/events.db")
    migrate(store.url)
    [declared] = [index for index in exchanges.indexes if index.name == name]
    written = store.look(
        lambda connection: connection.execute(text("SELECT sql FROM sqlite_master WHERE name = :n"), {"n": name}).scalar_one()
    )
    assert written.replace(" ", "") == str(CreateIndex(declared).compile(dialect=sqlite_dialect.dialect())).replace(" ", "")


def test_a_missing_index_would_be_seen(store: Store) -> None:
    migrate(store.url)
    store.look(lambda connection: connection.execute(text("DROP INDEX ix_exchanges_service")))
    assert [difference[0] for difference in store.look(differences)] == ["add_index"]


def test_migrating_twice_does_nothing(store: Store) -> None:
    migrate(store.url)
    assert migrate(store.url) == []


def test_an_upgrade_from_the_first_migration_keeps_every_row(store: Store) -> None:
    store.upgrade("0001")
    rows = {
        exchanges: [exchange(NOW), exchange(NOW, revision=1, position=5), exchange(0, "old", status=503)],
        payloads: [payload(exchange(NOW), "request", b"hello")],
        ledger: [{name: value for name, value in window(NOW, received=3).items() if name not in NEWER}],
        places: [{"journal": "a", "position": 5, "ordinal": 0}],
    }

    def fill(connection: Connection) -> None:
        for table, some in rows.items():
            connection.execute(insert(table), some)

    store.look(fill)
    assert migrate(store.url) == revisions()[1:]
    for table, some in rows.items():
        kept = store.look(lambda connection, table=table: [dict(row._mapping) for row in connection.execute(select(table))])
        newer = {ledger: NEWER, exchanges: NEW}.get(table, {})
        expected = [{**row, **newer} for row in some]
        assert len(kept) == len(expected)
        assert all(row in expected for row in kept)
    assert store.look(differences) == []


@pytest.mark.parametrize("revision", ["0005", "0006", "0007"])
def test_an_old_window_that_counts_less_than_nothing_does_no_more(store: Store, revision: str) -> None:
    """Wherever the store stands: 0006 has been passed by some of them."""
    store.upgrade(revision)
    newer = NEWER if revision == "0005" else {}
    rows = [window(NOW, "late") | {"announced": 10, "received": 13, "missing": -3}, window(NOW, "well", received=7, missing=2)]
    rows = [{name: value for name, value in row.items() if name not in newer} for row in rows]
    store.look(lambda connection: [connection.execute(insert(ledger), row) for row in rows])
    migrate(store.url)
    counts = select(ledger.c.node, ledger.c.announced, ledger.c.received, ledger.c.missing).order_by(ledger.c.node)
    assert store.look(lambda connection: [tuple(row) for row in connection.execute(counts)]) == [("late", 10, 10, 0), ("well", 9, 7, 2)]


@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_a_migration_that_is_broken_off_is_done_when_it_is_begun_anew(store: Store, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0006 and 0007 are broken off at their nth column, as by a full disk."""
    store.upgrade("0005")
    left = iter(range(number))
    adding = DefaultImpl.add_column

    def broken(self: DefaultImpl, *arguments: Any, **options: Any) -> None:
        if next(left, None) is None:
            raise OSError("the disk is full")
        adding(self, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(DefaultImpl, "add_column", broken)
        with pytest.raises(Exception, match="the disk is full"):
            migrate(store.url)
    assert migrate(store.url) == revisions()[5:]
    assert store.look(differences) == []


@pytest.mark.slow
def test_every_migration_can_be_taken_back(store: Store) -> None:
    migrate(store.url)
    for revision in [*revisions()[-2::-1], "base"]:
        store.downgrade(revision)
    migrate(store.url)
    assert store.look(differences) == []


def test_a_store_of_a_newer_version_is_left_alone(store: Store) -> None:
    migrate(store.url)
    store.look(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(DamagedError, match="9999"):
        migrate(store.url)


def test_texts_are_compared_by_their_bytes_whatever_the_server_s_locale(database: Database) -> None:
    found = database.postgres.run(
        "SELECT attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
        "WHERE relname = ANY ('{exchanges,payloads,ledger,texts,places}') AND attcollation <> 0 AND attcollation <> '\"C\"'::regcollation "
        "AND attname <> 'compression'",
        database.name,
    )
    assert found == []


def test_bytes_are_stored_as_they_are_in_every_partition(database: Database) -> None:
    found = database.postgres.run(
        "SELECT c.relname, attstorage::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
        "WHERE attname = 'data' AND c.relkind IN ('r', 'p') AND c.relname ~ '^(exchanges|payloads|ledger)'",
        database.name,
    )
    assert {row[0] for row in found} == {name for table in TABLES if table != "texts" for name in (table, f"{table}_default")}
    assert {row[1] for row in found} == {"e"}


def at_once(url: str) -> list[int]:
    """The exit codes of three processes that migrate the same store."""
    program = f"from collector.store.migrate import migrate; migrate({url!r})"
    running = [warm_start.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) for _ in range(3)]
    return [process.wait(60) for process in running]


def test_several_migrations_of_a_server_at_once_are_one(empty_database: Database) -> None:
    assert at_once(empty_database.url) == [0, 0, 0]
    assert Store(empty_database.url).look(differences) == []


@pytest.mark.slow
def test_several_migrations_of_a_file_at_once_are_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/e.db"
    assert at_once(url) == [0, 0, 0]
    assert Store(url).look(differences) == []


async def test_a_migration_waits_for_the_one_that_runs(empty_database: Database) -> None:
    holder = await empty_database.server.connect("test")
    await holder.execute("SELECT pg_advisory_lock($1)", LOCK)
    waiting = asyncio.create_task(asyncio.to_thread(migrate, empty_database.url))
    while not await holder.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await holder.close()
    assert await waiting == revisions()


async def test_serve_refuses_a_server_whose_tables_are_missing_or_old(empty_database: Database) -> None:
    settings = Sink(url=empty_database.url)
    with pytest.raises(SettingsError, match=r"revision none.*meshscribe migrate"):
        await prepare(settings)
    await asyncio.to_thread(Store(empty_database.url).upgrade, "0001")
    with pytest.raises(SettingsError, match=f"revision 0001, needed is {head()}: run `meshscribe migrate`"):
        await prepare(settings)
    await asyncio.to_thread(migrate, settings.url)
    await prepare(settings)


async def test_serve_migrates_a_file_itself(tmp_path: Path) -> None:
    await prepare(Sink(url=f"sqlite:///{tmp_path}/new/events.db"))
    connection = sqlite3.connect(tmp_path / "new" / "events.db")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(head(),)]
    connection.close()


async def test_serve_starts_although_the_server_does_not_answer(tmp_path: Path) -> None:
    await prepare(Sink(url=f"postgresql://postgres@/x?host={tmp_path}"))


def test_migrating_a_server_that_does_not_answer_says_so_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match=r"postgres:\*\*\*@") as told:
        migrate(f"postgresql://postgres:s3cret@/x?host={tmp_path}")
    assert "s3cret" not in str(told.value)
