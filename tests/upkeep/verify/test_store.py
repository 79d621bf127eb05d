"""`verify` on the store's own files: what is broken is named and can be made anew, and what cannot be looked at is no damage."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from collector.errors import RetryableError
from collector.settings import Sink
from collector.store.engine import open_engine
from collector.upkeep.verify import Finding, indexes
from collector.upkeep.verify.store import integrity, sound
from tests.audit.rows import Store
from tests.support.postgres import Database

SLOW = "CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN $1; END'"


async def looked_at(url: str, *, repair: bool = False, seconds: float = 30.0) -> Finding:
    engine = open_engine(Sink(url=url), seconds)
    try:
        (found,) = await sound(engine, repair=repair)
        return found
    finally:
        await engine.dispose()


async def break_indexes(database: Database, *made: str) -> None:
    """Makes indexes of `places` which do not have the rows that are there: it is filled while the server takes them for unfinished."""
    await database.fetch("CREATE EXTENSION amcheck")
    for statement in made:
        await database.fetch(statement)
    ready = "UPDATE pg_index SET indisready = {} WHERE indrelid = 'places'::regclass AND NOT indisprimary"
    rows = "INSERT INTO places SELECT 'j' || n, n, 0 FROM generate_series(1, 10) n"
    for statement in (ready.format("false"), rows, ready.format("true")):
        connection = await database.server.connect("test")
        await connection.execute("SET allow_system_table_mods = on")
        await connection.execute(statement)
        await connection.close()


async def test_broken_indexes_are_made_anew_however_many_and_whatever_they_are_called(database: Database) -> None:
    names = [f"broken_{n}" for n in range(6)] + ['we"ird; name: x']
    await break_indexes(database, *(f"""CREATE INDEX "{name.replace('"', '""')}" ON places (position)""" for name in names))
    found = await looked_at(database.url)
    assert found.missing == 7
    assert "and 2 more" in found.said
    mended = await looked_at(database.url, repair=True)
    assert mended.ok, mended
    assert "lacks matching index tuple" in mended.said
    left = await database.fetch("SELECT relname FROM pg_class JOIN pg_index ON oid = indexrelid WHERE indrelid = 'places'::regclass")
    assert sorted(row["relname"] for row in left) == sorted([*names, "pk_places"])


async def test_a_check_and_a_repair_take_as_long_as_they_take(database: Database) -> None:
    """Longer than the audit API's statements may."""
    await break_indexes(database, SLOW, "CREATE INDEX long ON places (slow(journal))")
    mended = await looked_at(database.url, repair=True, seconds=0.3)
    assert mended.ok, mended
    assert await database.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


async def test_what_may_not_be_looked_at_is_not_broken(database: Database) -> None:
    await database.fetch("CREATE EXTENSION amcheck")
    await database.fetch(f"CREATE ROLE auditor_{database.name} LOGIN")
    found = await looked_at(database.url.replace("postgres:@", f"auditor_{database.name}:@"), repair=True)
    assert found.ok, found
    assert "not looked at" in found.said
    assert "permission denied for function bt_index_check" in found.said


async def test_an_index_that_is_gone_meanwhile_is_not_broken(database: Database) -> None:
    await database.fetch("CREATE EXTENSION amcheck")
    gone = text("SELECT CAST(4000000000 AS oid) AS oid, 'public' AS schema, 'gone' AS name")
    engine = open_engine(Sink(url=database.url))
    found = await indexes.check(engine, gone)
    await engine.dispose()
    assert not found.broken
    assert found.said.startswith("0 are sound; not looked at: gone: ")


async def test_a_server_without_amcheck_is_told_as_such(database: Database) -> None:
    found = await looked_at(database.url)
    assert (found.ok, "CREATE EXTENSION amcheck" in found.said) == (True, True)


async def test_a_file_that_is_locked_is_not_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path / "events.db")
    engine = store.opened()
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetryableError, match="locked"):
            integrity(tmp_path / "events.db", busy_seconds=0)
    assert [one.said for one in await sound(engine)] == ["sound"]
    await engine.dispose()
    store.close()


async def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "e.db").write_bytes(b"nothing that SQLite knows" * 100)
    assert await asyncio.to_thread(integrity, tmp_path / "e.db") == ["file is not a database"]
    with pytest.raises(RetryableError):
        integrity(tmp_path / "none.db")


async def test_rows_are_still_read_by_the_statements_limit_afterwards(database: Database) -> None:
    engine = open_engine(Sink(url=database.url), 7.0)
    await sound(engine)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar() == "7s"
    await engine.dispose()
