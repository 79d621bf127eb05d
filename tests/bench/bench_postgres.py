"""What the Postgres sink stores: exchanges a second and CPU per exchange, next to a bare batch insert of the same rows in the same run.

Server and client share this machine. `python tests/bench/bench_postgres.py`; batches of 1,000 exchanges, each with a record of about 2.4 KB
and two bodies. The bare loop has its rows made and compressed before the clock starts, and writes nothing but them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import asyncpg

from collector.clock import SystemClock
from collector.messages.event import Output, Place
from collector.sinks.postgres import PostgresSink
from collector.store import schema
from collector.store.migrate import migrate
from collector.store.postgres_server import PostgresServer
from collector.store.rows import RowMaker, Rows, statement
from tests.support.events import exchange
from tests.support.postgres import Postgres

BATCH = 1000
BATCHES = int(os.environ.get("MESHSCRIBE_BENCH_BATCHES", "8"))
SIZES = {"1KiB": 1 << 10, "8KiB": 8 << 10}
CONFIGURATION = "shared_buffers = 256MB\nmax_wal_size = 4GB\n"
JOURNAL = "bench"
_WORDS = [uuid.uuid4().hex[: 3 + n % 6] for n in range(3000)]


def run() -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        postgres = Postgres(Path(folder) / "data", CONFIGURATION)
        try:
            migrate(postgres.url())
            figures: dict[str, float] = {}
            for label, size in SIZES.items():
                figures |= asyncio.run(_compare(postgres, label, size))
            return figures
        finally:
            postgres.close()


async def _compare(postgres: Postgres, label: str, size: int) -> dict[str, float]:
    """Bare and sink take turns, a batch each, so that whatever else this machine does falls on both."""
    server = PostgresServer(postgres.url())
    sink, bare = PostgresSink(server, SystemClock()), await server.connect("bench bare")
    await sink.write(JOURNAL, [], Place(1, 0))  # connects, and makes the days
    backends = {row["application_name"]: row["pid"] for row in await bare.fetch("SELECT application_name, pid FROM pg_stat_activity")}
    spent = {"sink": [0.0, 0.0, 0.0], "bare": [0.0, 0.0, 0.0]}
    maker, position = RowMaker(), itertools.count(2)
    for _ in range(BATCHES):
        outputs = _outputs(size, position)
        begun = _spent(backends["meshscribe sink"])
        await sink.write(JOURNAL, outputs, outputs[-1].place)
        _add(spent["sink"], begun, _spent(backends["meshscribe sink"]))
        rows = maker.rows(JOURNAL, _outputs(size, position))
        begun = _spent(backends["bench bare"])
        await _insert(bare, rows)
        _add(spent["bare"], begun, _spent(backends["bench bare"]))
    await sink.close()
    await bare.close()
    count = BATCH * BATCHES
    figures: dict[str, float] = {}
    for who, (seconds, client, backend) in spent.items():
        figures |= {
            f"postgres_{who}_{label}_exchanges_per_s": count / seconds,
            f"postgres_{who}_{label}_client_us": client / count * 1e6,
            f"postgres_{who}_{label}_backend_us": backend / count * 1e6,
        }
    cpu = {who: client + backend for who, (_, client, backend) in spent.items()}
    return {
        **figures,
        f"postgres_{label}_of_the_bare_insert_percent": 100 * spent["bare"][0] / spent["sink"][0],
        f"postgres_{label}_of_the_bare_insert_percent_by_cpu": 100 * cpu["bare"] / cpu["sink"],
        f"postgres_sink_{label}_exchanges_per_s_of_one_core": count / cpu["sink"],
    }


async def _insert(connection: asyncpg.Connection, rows: Rows) -> None:
    async with connection.transaction():
        for table, found in ((schema.exchanges, rows.exchanges), (schema.payloads, rows.payloads)):
            await connection.execute(statement(table), *zip(*found, strict=True))


def _spent(backend: int) -> tuple[float, float, float]:
    """(wall clock, CPU of this process, CPU of the backend), seconds."""
    fields = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()
    return time.perf_counter(), time.process_time(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _add(sums: list[float], begun: tuple[float, ...], ended: tuple[float, ...]) -> None:
    for n, (before, after) in enumerate(zip(begun, ended, strict=True)):
        sums[n] += after - before


def _outputs(size: int, position: Any) -> list[Output]:
    start = time.time_ns() // 1000
    return [
        exchange(
            Place(next(position), 0),
            start + n,
            salt=str(n),
            request=_body(size),
            response=_body(size),
            data=_record(),
            node=f"sidecar~10.0.0.{n % 50}~llama-predictor-0.prod~prod.svc.cluster.local",
            service=f"llama-{n % 20}",
            model=f"llama-{n % 10}",
            caller=f"spiffe://cluster.local/ns/app/sa/web-{n % 30}",
            request_id=str(uuid.uuid4()),
        )
        for n in range(BATCH)
    ]


def _body(size: int) -> bytes:
    return " ".join(random.choices(_WORDS, k=size // 5)).encode()[:size]


def _record() -> bytes:
    headers = [[f"x-header-{n}", uuid.uuid4().hex] for n in range(22)]
    return json.dumps({"id": str(uuid.uuid4()), "headers": headers, "text": " ".join(random.choices(_WORDS, k=130))}).encode()


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:45} {value:12.1f}", flush=True)
