"""How long the audit API takes for a page of 100 out of many exchanges in Postgres, for every filter it documents.

`python tests/bench/bench_queries.py` fills a server of its own with MESHSCRIBE_BENCH_EXCHANGES exchanges (200,000 by default) over ten
days and asks for pages through the API's whole application, in this process. Values are common, rare and absent ones: an absent one
makes the store look everywhere. Prints milliseconds as the API's caller waits for them, which falls with whatever else this machine does,
and what the store itself says of one such page: milliseconds, and blocks of 8 KiB that it touched.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit import exchange_queries as queries
from collector.audit.app import create_app
from collector.audit.moments import span
from collector.audit.parameters import ExchangeQuery
from collector.clock import SystemClock
from collector.health import Component
from collector.messages.event import Place
from collector.settings import Audit, Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.partitions import edge, name
from tests.support.postgres import Postgres

COUNT = int(os.environ.get("MESHSCRIBE_BENCH_EXCHANGES", "200000"))
DAYS = 10
ROUNDS = 20
DAY_US = 86_400_000_000
CONFIGURATION = "shared_buffers = 512MB\nmaintenance_work_mem = 256MB\nmax_wal_size = 8GB\nautovacuum = off\n"

# Most went well, at a few services; a few did not, in as many ways as there are.
FILL = """
INSERT INTO {table} SELECT id, id, 0, r2 < 0.001, '/proxy/' || node, ns || '/' || svc, us, (r1 * 5e6)::bigint, ns, svc, node,
  gen_random_uuid()::text, CASE WHEN r2 < 0.99 THEN 'POST' WHEN r2 < 0.99999 THEN 'GET' ELSE 'DELETE' END,
  CASE WHEN r3 < 0.90 THEN '/v1/chat/completions' WHEN r3 < 0.99 THEN '/v1/embeddings'
    WHEN r3 < 0.9999 THEN '/v2/models/m' || (r1 * 500)::int || '/infer?trace=' || (r2 * 1e9)::int ELSE '/rare/' || (r1 * 9)::int END,
  CASE WHEN r4 < 0.97 THEN 200 WHEN r4 < 0.98 THEN 429 WHEN r4 < 0.99 THEN 503 WHEN r4 < 0.9999 THEN 404 WHEN r4 < 0.99999 THEN 418 END,
  'spiffe://cluster.local/ns/app/sa/c' || (300 * r1 ^ 3)::int, 'model-' || (60 * r3 ^ 6)::int,
  CASE WHEN r1 < 0.97 THEN 1 WHEN r1 < 0.98 THEN 257 WHEN r1 < 0.99 THEN 2 WHEN r1 < 0.9999 THEN 4 ELSE 16 END,
  1000, 2000, 'bench', {first} + i, 0,
  convert_to('{{"id":"' || id || '","headers":["' || repeat(md5(r1::text), 24) || '"],"usage":{{"prompt_tokens":12}}}}', 'UTF8')
FROM (
  SELECT i, us, r1, r2, r3, r4, 'ns-' || (20 * r5 ^ 4)::int AS ns, 'svc-' || (200 * r5 ^ 4)::int AS svc,
    'sidecar~10.0.' || (4 * r5)::int || '.' || (250 * r1)::int || '~pod' AS node,
    substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7' || substr(h, 1, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12) AS id
  FROM (
    SELECT i, {start} + i * {step} AS us, lpad(to_hex(({start} + i * {step}) / 1000), 12, '0') AS ms, md5(i::text || '{table}') AS h,
      random() AS r1, random() AS r2, random() AS r3, random() AS r4, random() AS r5
    FROM generate_series(0::bigint, {count} - 1) AS i
  ) AS chance
) AS row
"""

QUERIES: dict[str, dict[str, str]] = {
    "newest": {},
    "oldest": {"order": "asc"},
    "order=stored": {"order": "stored"},
    "since": {"since": "2h"},
    "since until": {"since": "5d", "until": "4d"},
    "namespace common": {"namespace": "ns-0"},
    "namespace rare": {"namespace": "ns-20"},
    "namespace absent": {"namespace": "none"},
    "service common": {"namespace": "ns-0", "service": "svc-0"},
    "service rare": {"namespace": "ns-20", "service": "svc-200"},
    "service without namespace": {"service": "svc-150"},
    "service absent": {"service": "none"},
    "node": {"node": "sidecar~10.0.2.77~pod"},
    "node absent": {"node": "none"},
    "path common": {"path": "/v1/chat/completions"},
    "path absent": {"path": "/none"},
    "path prefix common": {"path": "/v1/*"},
    "path prefix rare": {"path": "/rare/*"},
    "path prefix absent": {"path": "/none*"},
    "method common": {"method": "POST"},
    "method rare": {"method": "DELETE"},
    "method absent": {"method": "PATCH"},
    "status common": {"status": "200"},
    "status class": {"status": "5xx"},
    "status rare": {"status": "418"},
    "status none": {"status": "none"},
    "status absent": {"status": "501"},
    "request id absent": {"request_id": "none"},
    "complete": {"completeness": "complete"},
    "incomplete": {"completeness": "!complete"},
    "completeness rare": {"completeness": "request_body_gap"},
    "completeness absent": {"completeness": "unfinished"},
    "model common": {"model": "model-0"},
    "model rare": {"model": "model-59"},
    "model absent": {"model": "none"},
    "caller": {"caller": "spiffe://cluster.local/ns/app/sa/c200"},
    "caller absent": {"caller": "none"},
    "all revisions": {"revisions": "all", "status": "5xx"},
    "status usual": {"status": "2xx"},
    "status usual list": {"status": "200,201", "namespace": "none"},
    "method usual list": {"method": "POST,PATCH"},
    "complete not": {"completeness": "!client_aborted"},
    "bunch of long ago": {"path": "/old*"},
    "status and namespace": {"namespace": "ns-20", "status": "404"},
    "several": {"since": "3d", "namespace": "ns-1", "status": "429", "model": "model-0"},
}


class Healthy:
    """Nothing is wrong."""

    def components(self) -> list[Component]:
        return []


def run(count: int = COUNT, rounds: int = ROUNDS) -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "data", CONFIGURATION)
        try:
            migrate(server.url())
            return asyncio.run(_run(server.url(), count, rounds))
        finally:
            server.close()


async def _run(url: str, count: int, rounds: int) -> dict[str, float]:
    begun = time.monotonic()
    await fill(url, count)
    figures = {"queries_exchanges": float(count), "queries_fill_s": time.monotonic() - begun}
    engine = open_engine(Sink(url=url))
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        for label, parameters in QUERIES.items():
            figures |= await measure(client, label, "/v1/exchanges", [{**parameters, "limit": "100"}] * rounds)
            figures |= await _explain(engine, label, parameters, count)
        ids, requests = await _sample(url, rounds)
        figures |= await measure(client, "request id", "/v1/exchanges", [{"request_id": request} for request in requests])
        for one in ids:
            figures |= await measure(client, "one exchange", f"/v1/exchanges/{one}", [{}] * 3)
    await engine.dispose()
    return figures


async def fill(url: str, count: int) -> None:
    """Days without indexes, filled, then attached: attaching makes the indexes."""
    connection = await asyncpg.connect(url)
    last = time.time_ns() // 1000 // DAY_US
    each = count // DAYS
    for number in range(DAYS):
        day = last - DAYS + 1 + number
        table = name("exchanges", day)
        await connection.execute(f"CREATE TABLE {table} (LIKE exchanges INCLUDING DEFAULTS INCLUDING STORAGE)")
        span = DAY_US if day < last else time.time_ns() // 1000 - last * DAY_US  # today is not over
        step = max(span // each, 1)
        await connection.execute(FILL.format(table=table, first=number * each, start=day * DAY_US, step=step, count=each))
        await connection.execute(f"ALTER TABLE exchanges ATTACH PARTITION {table} FOR VALUES FROM ('{edge(day)}') TO ('{edge(day + 1)}')")
        await connection.execute(f"ANALYZE {table}")
    await connection.execute("INSERT INTO places VALUES ('bench', $1, 0)", count)
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _sample(url: str, rounds: int) -> tuple[list[str], list[str]]:
    connection = await asyncpg.connect(url)
    found = await connection.fetch(
        "SELECT id, request_id FROM exchanges WHERE position = ANY (SELECT (random() * $1)::bigint FROM generate_series(1, $2)) "
        "AND journal = 'bench' AND ordinal = 0 AND NOT superseded",
        COUNT - 1,
        rounds,
    )
    await connection.close()
    return [row["id"] for row in found], [row["request_id"] for row in found]


async def measure(client: httpx.AsyncClient, label: str, path: str, asked: list[dict[str, str]]) -> dict[str, float]:
    times = []
    for parameters in asked:
        begun = time.perf_counter()
        answer = await client.get(path, params=parameters)
        times.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, (label, answer.text)
    times.sort()
    place = label.replace(" ", "_")
    return {f"query_{place}_p50_ms": times[len(times) // 2], f"query_{place}_p95_ms": times[int(len(times) * 0.95 + 0.5) - 1]}


async def _explain(engine: AsyncEngine, label: str, parameters: dict[str, str], count: int) -> dict[str, float]:
    query = ExchangeQuery.model_validate(parameters)
    asked = span(query.since, query.until, SystemClock().now_us())
    if query.order == "stored":
        page = queries.stored_page(query, asked, "bench", Place(-1, 0), Place(count, 0), 101)
    else:
        page = queries.page(query, asked, None, 101)
    statement = page.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        said = (await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}")).scalar_one()
    found = (json.loads(said) if isinstance(said, str) else said)[0]
    blocks, place = found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"], label.replace(" ", "_")
    return {f"query_{place}_store_ms": found["Planning Time"] + found["Execution Time"], f"query_{place}_blocks": float(blocks)}


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:45} {value:12.2f}", flush=True)
