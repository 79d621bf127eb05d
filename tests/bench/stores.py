"""A store with many exchanges in it and the most sums of usage that 31 days can have, for benches: an SQLite file, or a Postgres server.

MESHSCRIBE_BENCH_STORE says which (`sqlite`, `postgres`). It is made in a folder that is deleted afterwards; if MESHSCRIBE_BENCH_KEEP names
one, it is made there and kept, and the next run uses it as it is: its newest exchanges are as old as the filling then, and what earlier
runs sent is in it too. The file holds exchanges of 10 days, the server of 30.

The server is filled without a log of its changes and then started anew as an ordinary small one is: 1 GiB of shared buffers, up to 4 GiB of
log between checkpoints, all else as it comes (durable commits, autovacuum). 10 million exchanges take about 15 GiB.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncpg

from collector.store.migrate import head, migrate
from tests.bench import postgres_rows
from tests.bench.bench_queries_file import fill
from tests.bench.bench_usage import DAYS, statements
from tests.bench.marks_in_order import put_in_order
from tests.support.postgres import Postgres

STORE = os.environ.get("MESHSCRIBE_BENCH_STORE", "sqlite")
KEEP = os.environ.get("MESHSCRIBE_BENCH_KEEP")
POSTGRES_DAYS = 30
ROW_BYTES = 1_600  # that an exchange takes in Postgres with its indexes
MEMORY_BYTES = 8 << 30  # that may be taken where temporary files are kept in memory
ORDINARY = """
max_connections = 100
shared_buffers = 1GB
maintenance_work_mem = 64MB
max_parallel_maintenance_workers = 2
wal_level = replica
max_wal_senders = 10
max_wal_size = 4GB
fsync = on
full_page_writes = on
synchronous_commit = on
autovacuum = on
synchronize_seqscans = on
"""
RECURSIVE = "WITH RECURSIVE c({n}) AS (SELECT 0 UNION ALL SELECT {n} + 1 FROM c WHERE {n} < {end} - 1) SELECT {n} FROM c"
SENT = "journal IN (SELECT journal FROM places WHERE journal <> 'bench')"  # what came through a collector: of one journal
NEWEST = f"SELECT coalesce(max(position), 0) FROM exchanges WHERE {SENT}"


class Store(Protocol):
    """What a bench asks of a store beside the audit API."""

    url: str

    async def newest(self) -> int:
        """The place in its journal of the newest exchange that came through a collector."""

    async def stored(self, behind: int) -> int:
        """How many came through a collector behind this place."""


class File:
    """An SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path, self.url = path, f"sqlite:///{path}"

    async def newest(self) -> int:
        return self._number(NEWEST)

    async def stored(self, behind: int) -> int:
        return self._number(f"SELECT count(*) FROM exchanges WHERE {SENT} AND position > {behind}")

    def _number(self, statement: str) -> int:
        with closing(sqlite3.connect(self._path)) as connection:
            return int(connection.execute(statement).fetchone()[0])


class Server:
    """A Postgres server."""

    def __init__(self, server: Postgres) -> None:
        self.url = server.url()

    async def newest(self) -> int:
        return await self._number(NEWEST)

    async def stored(self, behind: int) -> int:
        return await self._number(f"SELECT count(*) FROM exchanges WHERE {SENT} AND position > {behind}")

    async def _number(self, statement: str) -> int:
        connection = await asyncpg.connect(self.url)
        try:
            return int(await connection.fetchval(statement))
        finally:
            await connection.close()


class Filled(NamedTuple):
    """A store, the folder in which its collector may keep its own files, and how many seconds each part of the filling took."""

    store: Store
    folder: Path
    took: dict[str, float]


@contextmanager
def filled(count: int) -> Iterator[Filled]:
    """A store with so many exchanges."""
    with _folder(count) as folder:
        told = {"store": STORE, "exchanges": count, "revision": head()}
        note = folder / "filled.json"
        if note.exists() and (found := json.loads(note.read_text())) != told:
            raise SystemExit(f"{folder} was filled with {found}, wanted is {told}: name another folder, or delete this one")
        if not note.exists() and any(folder.iterdir()):
            raise SystemExit(f"{folder} is neither empty nor wholly filled: name another folder, or delete this one")
        with (_file if STORE == "sqlite" else _server)(folder, None if note.exists() else count) as made:
            note.write_text(json.dumps(told))
            yield made


@contextmanager
def _folder(count: int) -> Iterator[Path]:
    if KEEP:
        path = Path(KEEP).resolve()
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    usual = tempfile.gettempdir()
    where = "/var/tmp" if usual.startswith("/dev/shm") and count * ROW_BYTES > MEMORY_BYTES else usual if len(usual) < 40 else "/tmp"
    with tempfile.TemporaryDirectory(prefix="asked-", dir=where, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _file(folder: Path, count: int | None) -> Iterator[Filled]:
    path = folder / "events.db"
    took: dict[str, float] = {}
    if count is not None:
        began = time.monotonic()
        migrate(f"sqlite:///{path}")
        fill(path, count)
        took["rows, indexes, marks"] = time.monotonic() - began
        with closing(sqlite3.connect(path)) as connection:
            for statement in _sums(count, RECURSIVE):
                connection.execute(statement)
            connection.commit()
        took["sums"] = time.monotonic() - began - took["rows, indexes, marks"]
        took["index of marks in order"] = asyncio.run(put_in_order(f"sqlite:///{path}"))
    yield Filled(File(path), folder, took)


@contextmanager
def _server(folder: Path, count: int | None) -> Iterator[Filled]:
    server = Postgres(folder / "data", ORDINARY if count is None else postgres_rows.FILLING)
    try:
        took: dict[str, float] = {}
        if count is not None:
            migrate(server.url())
            took = asyncio.run(_fill(server.url(), count))
            with (folder / "data" / "postgresql.auto.conf").open("a") as file:
                file.write(ORDINARY)
            server.stop()
            server.start()
            took["index of marks in order"] = asyncio.run(put_in_order(server.url()))
        yield Filled(Server(server), folder, took)
    finally:
        server.close()


async def _fill(url: str, count: int) -> dict[str, float]:
    began = time.monotonic()
    took = await postgres_rows.fill(url, count, POSTGRES_DAYS)
    filled = time.monotonic()
    connection = await asyncpg.connect(url)
    for statement in _sums(count, "SELECT generate_series(0, {end} - 1) AS {n}"):
        await connection.execute(statement)
    for table in ("usage_keys", "usage_days", "usage_hours"):
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    await connection.close()
    return {f"{part}, of all hands": seconds for part, seconds in took.items()} | {
        "all of the exchanges": filled - began,
        "sums": time.monotonic() - filled,
    }


def _sums(count: int, series: str) -> list[str]:
    """Of the days between the first and the last, sums by day are read."""
    today = time.time_ns() // 86_400_000_000_000
    keys, days, hours = statements(count, today, lambda n, end: series.format(n=n, end=end))
    return [keys, days, f"{hours} AND d IN (0, {DAYS - 1})"]
