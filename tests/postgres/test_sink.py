"""What the Postgres sink does beyond the suite of all sinks: a server that hangs, is full or read-only, and passwords that do not show."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Place
from collector.settings import Sink
from collector.sinks.postgres import PostgresSink
from collector.store.engine import open_engine
from collector.store.postgres_server import PostgresServer
from collector.store.rows import Rows
from tests.audit.test_usage import told
from tests.store.test_usage_sums import output
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchanges
from tests.support.postgres import Database, run


@pytest_asyncio.fixture
async def sink(database: Database) -> AsyncIterator[PostgresSink]:
    made = PostgresSink(database.server, TurnedClock(NOW_US))
    yield made
    await made.close()


async def backend(database: Database) -> int:
    """The process that serves the sink."""
    found: int = await database.value(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'meshscribe sink' AND datname = $1", database.name
    )
    return found


async def test_a_session_that_the_server_ends_is_replaced(sink: PostgresSink, database: Database) -> None:
    await sink.write(JOURNAL, exchanges(1), Place(1, 0))
    await database.fetch("SELECT pg_terminate_backend($1)", await backend(database))
    for _ in range(2):  # whether the end is seen before or while it writes
        with contextlib.suppress(RetryableError):
            await sink.write(JOURNAL, exchanges(2), Place(2, 0))
    assert await sink.high(JOURNAL) == Place(2, 0)
    assert await database.value("SELECT count(*) FROM exchanges") == 2


async def test_a_server_that_hangs_is_given_up_after_a_while(database: Database) -> None:
    sink = PostgresSink(database.server, TurnedClock(NOW_US), answer_seconds=3.0)
    await sink.write(JOURNAL, exchanges(1), Place(1, 0))
    pid = await backend(database)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(RetryableError, match="TimeoutError"):
            await sink.write(JOURNAL, exchanges(2), Place(2, 0))
    finally:
        os.kill(pid, signal.SIGCONT)
    await sink.write(JOURNAL, exchanges(2), Place(2, 0))
    assert await database.value("SELECT count(*) FROM exchanges") == 2
    await sink.close()


async def test_a_lock_that_somebody_holds_is_waited_for_and_then_retryable(sink: PostgresSink, database: Database) -> None:
    await sink.write(JOURNAL, exchanges(1), Place(1, 0))
    holder = await database.server.connect("test")
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE payloads, exchanges IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(RetryableError, match="55P03"):
        await sink.write(JOURNAL, exchanges(2), Place(2, 0))
    await holder.execute("ROLLBACK")
    await holder.close()
    await sink.write(JOURNAL, exchanges(2), Place(2, 0))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53100", RetryableError),  # the disk is full
        ("53300", RetryableError),  # too many connections
        ("57P01", RetryableError),  # an operator's shutdown
        ("40001", RetryableError),  # serialisation
        ("40P01", RetryableError),  # deadlock
        ("25006", RetryableError),  # a standby
        ("28P01", RetryableError),  # a password that is being rotated
        ("42P01", RetryableError),  # tables that are being migrated
        ("42501", RetryableError),  # a grant that is missing
        ("XX000", RetryableError),
        ("22001", PermanentError),
        ("23502", PermanentError),
        ("23514", RetryableError),  # the guard of a partition that is being made
        ("54000", PermanentError),
    ],
)
def test_only_the_data_themselves_make_an_error_permanent(state: str, expected: type[Exception]) -> None:
    error = asyncpg.PostgresError.new({"S": "ERROR", "C": state, "M": "said so"})
    refused = PostgresServer("postgresql://u:secret@h/d").refused(error)
    assert type(refused) is expected
    assert state in str(refused)
    assert "secret" not in str(refused)


async def test_a_read_only_server_is_retryable(sink: PostgresSink, database: Database) -> None:
    await database.fetch(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    with pytest.raises(RetryableError, match="25006"):
        await sink.write(JOURNAL, exchanges(1), Place(1, 0))
    connection = await database.server.connect("test", default_transaction_read_only="off")
    await connection.execute(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
    await connection.close()
    await sink.write(JOURNAL, exchanges(1), Place(1, 0))


async def test_what_is_acknowledged_is_durable_whatever_the_role_is_set_to(database: Database) -> None:
    await database.fetch(f"ALTER DATABASE {database.name} SET synchronous_commit = off")
    connection = await database.server.connect("test")
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()


async def test_what_was_acknowledged_survives_a_crash_of_the_server(sink: PostgresSink, database: Database) -> None:
    await sink.write(JOURNAL, exchanges(200, request=b"x" * 500), Place(200, 0))
    await asyncio.to_thread(database.postgres.stop, "immediate")
    await asyncio.to_thread(database.postgres.start)
    assert await sink.high(JOURNAL) == Place(200, 0)
    assert await database.value("SELECT count(*) FROM payloads") == 200


async def test_a_password_comes_from_a_file_that_may_change(database: Database, tmp_path: Path) -> None:
    """The test server trusts everybody, so what is checked is that the file is read for every connection."""
    secret = tmp_path / "password"
    server = PostgresServer(database.url, secret)
    with pytest.raises(FileNotFoundError):
        await server.connect("test")
    secret.write_text("changed\n")
    assert server._password() == "changed"


async def test_every_form_of_the_url_reaches_the_server(database: Database) -> None:
    folder = database.postgres.folder
    for url in (
        f"postgresql://postgres@/{database.name}?host={folder}",
        f"postgresql+asyncpg://postgres:x@/{database.name}?host={folder}",
        f"postgres://postgres@/{database.name}?host={folder}&application_name=mine",
    ):
        connection = await PostgresServer(Sink(url=url).url).connect("test")
        assert await connection.fetchval("SELECT current_database()") == database.name
        await connection.close()


async def test_the_engine_replaces_connections_that_died(database: Database) -> None:
    engine = open_engine(Sink(url=database.url))
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1")
    await run(database.postgres.url(), f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'")
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SELECT 1")).scalar_one() == 1
    await engine.dispose()


async def test_a_session_that_ends_while_rows_are_made_costs_no_sums(
    sink: PostgresSink, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sink._rows_of

    async def cut(*of: Any) -> Rows:
        rows = await made(*of)
        monkeypatch.undo()
        assert sink._connection is not None
        sink._connection.terminate()
        return rows

    monkeypatch.setattr(sink, "_rows_of", cut)
    await sink.write(JOURNAL, [output(told(1, classes={"output": 5}), Place(1, 0))], Place(1, 0))
    assert await database.value("SELECT sum(output) FROM usage_days") == 5
