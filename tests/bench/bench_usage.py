"""How long GET /v1/usage takes over the sums of many exchanges of 30 days, in Postgres and in an SQLite file.

Fills the sums of MESHSCRIBE_BENCH_EXCHANGES exchanges (10 million in Postgres and a tenth of it in the file, by default) as the sink would
have: so many keys a day as the setting `usage.keys_per_day` allows, which is the worst that callers can make it. Prints the 95th percentile
in milliseconds, as the API's caller waits, and what counting costs a batch of the sink's, in µs per exchange.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
import httpx
from prometheus_client import CollectorRegistry

from collector.audit.app import create_app
from collector.clock import SystemClock
from collector.health import Component
from collector.messages.usage_counts import SUMS
from collector.settings import Audit, Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.usage_book import AS_USUAL
from tests.support.postgres import Postgres

EXCHANGES = int(os.environ.get("MESHSCRIBE_BENCH_EXCHANGES", "10000000"))
DAYS, ROUNDS = 31, 20
CONFIGURATION = "shared_buffers = 512MB\nmax_wal_size = 8GB\nautovacuum = off\n"
QUERIES = {
    "30 days by model": {"group_by": "model", "since": "30d"},
    "30 days by service and day": {"group_by": "namespace,service,day", "since": "30d"},
    "30 days by consumer": {"group_by": "consumer", "since": "30d"},
    "30 days of a namespace by model": {"group_by": "model", "since": "30d", "namespace": "ns-3"},
    "a day by model and hour": {"group_by": "model,hour", "since": "1d"},
}
_NAMED = "'ns-' || (k % 20), 'svc-' || (k % 200), 'model-' || (k % 60), 'consumer-' || (k % 500)"
_KEY = f"{_NAMED}, NULL, 'caller-' || (k % 300), 'openai-chat', NULL"


class Healthy:
    """Nothing is wrong."""

    def components(self) -> list[Component]:
        return []


def statements(exchanges: int, today: int, series: Callable[[str, int], str]) -> list[str]:
    """Keys, then each day's sums and each hour's; every key is there each day, and in a quarter of the hours."""
    keys = AS_USUAL.keys
    calls = max(1, exchanges // (DAYS * keys))
    sums = ", ".join(SUMS)
    numbers = ", ".join(str({"calls": calls, "input_uncached": calls * 900, "output": calls * 300}.get(name, calls // 20)) for name in SUMS)
    return [
        f"INSERT INTO usage_keys SELECT k, 0, {_KEY} FROM ({series('k', keys)}) AS keys",
        f"INSERT INTO usage_days (day, key, {sums}) SELECT {today} - d, k, {numbers} FROM ({series('d', DAYS)}) AS days,"
        f" ({series('k', keys)}) AS keys",
        f"INSERT INTO usage_hours (hour, key, {sums}) SELECT ({today} - d) * 24 + h, k, {numbers} FROM ({series('d', DAYS)}) AS days,"
        f" ({series('h', 24)}) AS hours, ({series('k', keys)}) AS keys WHERE (k + h) % 4 = 0",
    ]


def run() -> dict[str, float]:
    """{figure: value}."""
    figures: dict[str, float] = {}
    today = time.time_ns() // 86_400_000_000_000
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pg-") as name:
        server = Postgres(Path(name) / "data", CONFIGURATION)
        try:
            migrate(server.url())
            asyncio.run(_fill(server.url(), statements(EXCHANGES, today, lambda n, end: f"SELECT generate_series(0, {end} - 1) AS {n}")))
            figures |= {f"Postgres: {what}, p95 ms": value for what, value in asyncio.run(_ask(Sink(url=server.url()))).items()}
        finally:
            server.close()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "events.db"
        migrate(f"sqlite:///{path}")
        counting = "WITH RECURSIVE c({n}) AS (SELECT 0 UNION ALL SELECT {n} + 1 FROM c WHERE {n} < {end} - 1) SELECT {n} FROM c"
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements(EXCHANGES // 10, today, lambda n, end: counting.format(n=n, end=end)):
                connection.execute(statement)
            connection.commit()
        figures |= {f"SQLite: {what}, p95 ms": value for what, value in asyncio.run(_ask(Sink(url=f"sqlite:///{path}"))).items()}
    return figures


async def _fill(url: str, some: list[str]) -> None:
    connection = await asyncpg.connect(url)
    for statement in [*some, "ANALYZE"]:
        await connection.execute(statement)
    await connection.close()


@asynccontextmanager
async def _client(settings: Sink) -> AsyncIterator[httpx.AsyncClient]:
    engine = open_engine(settings)
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", timeout=60) as client:
        yield client
    await engine.dispose()


async def _ask(settings: Sink) -> dict[str, float]:
    async with _client(settings) as client:
        return {what: await _percentile(lambda query=query: client.get("/v1/usage", params=query)) for what, query in QUERIES.items()}  # type: ignore[misc]


async def _percentile(ask: Callable[[], Awaitable[httpx.Response]]) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = await ask()
        took.append(time.perf_counter() - began)
        if answer.status_code != 200 or not answer.json()["items"]:
            raise RuntimeError(answer.text)
    return sorted(took)[int(ROUNDS * 0.95) - 1] * 1000
