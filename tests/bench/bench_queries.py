"""How long the audit API takes for a page of 100 out of many exchanges in Postgres, for every filter it documents, and to count them.

`python -m tests.bench queries` fills a server of its own with MESHSCRIBE_BENCH_EXCHANGES exchanges (200,000 by default) over ten days and
asks for pages through the API's whole application, in this process. Values are common, rare and absent ones: an absent one makes the store
look everywhere. Prints milliseconds as the API's caller waits for them, which falls with whatever else this machine does, and of filters
by columns what the store itself says of one such page: milliseconds, and blocks of 8 KiB that it touched.
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
from tests.bench.marks_in_order import put_in_order
from tests.bench.postgres_rows import FILLING, fill
from tests.support.postgres import Postgres

COUNT = int(os.environ.get("MESHSCRIBE_BENCH_EXCHANGES", "200000"))
DAYS = 10
ROUNDS = 20
HEADERS = 24  # pieces of 32 bytes: records of about 900 bytes

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


MARKED: dict[str, dict[str, str]] = {
    "protocol common": {"protocol": "openai-chat"},
    "protocol rare": {"protocol": "kserve-v2"},
    "finish_reason very rare": {"finish_reason": "content_filter"},
    "annotation": {"annotation": "cost-center=17"},
    "user": {"user": f"{321:032x}"},
    "session": {"session": f"{4321:032x}"},
    "trace one, oldest": {"trace": "old"},
    "trace absent": {"trace": "none"},
    "tool one, oldest, asc": {"tool": "rare", "order": "asc"},
    "user and common": {"user": f"{321:032x}", "protocol": "openai-chat", "streamed": "true"},
    "tokens few": {"tokens": ">8990"},
    "tokens none": {"tokens": ">9000000"},
    "duration and service": {"duration": ">4s", "service": "svc-3"},
}
COUNTED: dict[str, dict[str, str]] = {
    "all": {"since": "10d"},
    "service": {"service": "svc-3", "since": "10d"},
    "user": {"user": f"{321:032x}", "since": "10d"},
    "5xx": {"status": "5xx", "since": "10d"},
}


class Healthy:
    """Nothing is wrong."""

    def components(self) -> list[Component]:
        return []


def run(count: int = COUNT, rounds: int = ROUNDS) -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "data", FILLING)
        try:
            migrate(server.url())
            return asyncio.run(_run(server.url(), count, rounds))
        finally:
            server.close()


async def _run(url: str, count: int, rounds: int) -> dict[str, float]:
    begun = time.monotonic()
    await fill(url, count, DAYS, HEADERS)
    await put_in_order(url)
    figures = {"queries_exchanges": float(count), "queries_fill_s": time.monotonic() - begun}
    engine = open_engine(Sink(url=url))
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        figures |= await ask(client, rounds)
        for label, parameters in QUERIES.items():
            figures |= await _explain(engine, label, parameters, count)
        ids, requests = await _sample(url, rounds)
        figures |= await measure(client, "request id", "/v1/exchanges", [{"request_id": request} for request in requests])
        for one in ids:
            figures |= await measure(client, "one exchange", f"/v1/exchanges/{one}", [{}] * 3)
    await engine.dispose()
    return figures


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


async def ask(client: httpx.AsyncClient, rounds: int) -> dict[str, float]:
    """First pages of every filter, facets and histograms."""
    figures: dict[str, float] = {}
    for label, parameters in (QUERIES | MARKED).items():
        figures |= await measure(client, label, "/v1/exchanges", [{**parameters, "limit": "100"}] * rounds)
    for route in ("facets", "histogram"):
        for label, parameters in COUNTED.items():
            figures |= await measure(client, f"{route} {label}", f"/v1/{route}", [{**parameters}] * rounds)
    return figures


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
