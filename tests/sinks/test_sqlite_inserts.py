"""How rows are written into an SQLite file: whatever columns have values, and however many rows come together, each is stored as it is."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, MetaData, String, Table

from collector.sinks.sqlite_inserts import ROWS_AT_ONCE, Inserts
from collector.store.rows import Row

TABLE = Table(
    "things",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("user", String),
    Column("number", BigInteger),
    Column("superseded", Boolean, nullable=False),
    Column("extra", LargeBinary),
    Column("data", LargeBinary, nullable=False),
)
COUNTS = [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 3]


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute('CREATE TABLE things (id TEXT PRIMARY KEY, "user" TEXT, number BIGINT, superseded BOOLEAN, extra BLOB, data BLOB)')
    return connection


def _stored(connection: sqlite3.Connection) -> list[Row]:
    return connection.execute("SELECT * FROM things ORDER BY id").fetchall()


def _plain(number: int) -> Row:
    return (f"{number:03}", None, None, False, None, b"%d" % number)


@pytest.mark.parametrize("count", COUNTS)
def test_columns_without_values_are_absent(connection: sqlite3.Connection, count: int) -> None:
    Inserts(TABLE).write(connection, rows := [_plain(number) for number in range(count)])
    assert _stored(connection) == rows


@pytest.mark.parametrize("at", [0, ROWS_AT_ONCE + 1, 2 * ROWS_AT_ONCE + 2])
@pytest.mark.parametrize(
    "values", [("ann", None, False, None), ("", 0, False, b""), (None, None, True, None), (None, -1, False, b"\0" * 100_000)]
)
def test_a_value_anywhere_is_stored_and_so_are_rows_without(connection: sqlite3.Connection, at: int, values: Row) -> None:
    inserts = Inserts(TABLE)
    rows = [_plain(number) for number in range(COUNTS[-1])]
    rows[at] = (rows[at][0], *values, b"x" * 200_000)
    inserts.write(connection, rows)
    inserts.write(connection, more := [_plain(number + 500) for number in range(COUNTS[-1])])
    assert _stored(connection) == rows + more
    assert connection.execute("SELECT DISTINCT typeof(data) FROM things").fetchall() == [("blob",)]


def test_a_row_that_is_there_is_passed_over(connection: sqlite3.Connection) -> None:
    inserts = Inserts(TABLE)
    inserts.write(connection, [_plain(1)])
    inserts.write(connection, [("001", "ann", 1, True, b"", b"other"), _plain(2)])
    assert _stored(connection) == [_plain(1), _plain(2)]


def test_no_rows_are_no_work(connection: sqlite3.Connection) -> None:
    Inserts(TABLE).write(connection, [])
    assert not _stored(connection)
