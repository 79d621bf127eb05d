"""How long the audit API takes for a page of 100 out of many exchanges in an SQLite file, for every filter it documents.

`python -m tests.bench queries_file` fills a file of its own with MESHSCRIBE_BENCH_EXCHANGES exchanges (500,000 by default) over ten days
and asks for pages through the API's whole application, in this process. The queries are those of bench_queries.py: values are common,
rare and absent ones. Prints milliseconds as the API's caller waits for them, and the file's size.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import httpx
from prometheus_client import CollectorRegistry

from collector.audit.app import create_app
from collector.clock import SystemClock
from collector.messages.columns import ExchangeColumns
from collector.settings import Audit, Sink
from collector.store import postings
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.bench.bench_queries import DAYS, ROUNDS, Healthy, ask
from tests.bench.marks_in_order import put_in_order
from tests.bench.postgres_rows import DAY_US, OLD, indexed

COUNT = int(os.environ.get("MESHSCRIBE_BENCH_EXCHANGES", "500000"))
AT_ONCE = 5_000
CACHE_KIB = 512 << 10
# In the order of _rows.
_OTHERS = ("id", "superseded", "source", "subject", "time_us", "journal", "position", "ordinal", "crc", "data")
_COLUMNS = (*_OTHERS[:5], *ExchangeColumns._fields, *_OTHERS[5:])
_MARKS = _COLUMNS.index("marks")
UNCOUNTED = (None,) * (ExchangeColumns._fields.index("tokens") - ExchangeColumns._fields.index("consumer"))  # in no sum of usage
INSERT = f"INSERT INTO exchanges ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def run(count: int = COUNT, rounds: int = ROUNDS) -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with tempfile.TemporaryDirectory(prefix="sqlite-") as folder:
        path = Path(folder) / "events.db"
        migrate(f"sqlite:///{path}")
        began = time.monotonic()
        fill(path, count)
        asyncio.run(put_in_order(f"sqlite:///{path}"))
        figures = {"queries_exchanges": float(count), "queries_fill_s": time.monotonic() - began}
        figures["queries_file_MiB"] = path.stat().st_size / (1 << 20)
        return figures | asyncio.run(_ask(path, rounds))


def fill(path: Path, count: int) -> None:
    """Exchanges in the order of their start, in transactions of AT_ONCE; then their indexes, by the migrations' own statements: entries
    that are sorted first are made in a fraction of the time.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("synchronous = OFF", f"cache_size = -{CACHE_KIB}", "temp_store = MEMORY"):  # of this connection alone
        connection.execute(f"PRAGMA {setting}")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'exchanges' AND sql > ''"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    rows = _rows(count, Random(1))
    while some := list(islice(rows, AT_ONCE)):
        connection.execute("BEGIN")
        connection.executemany(INSERT, some)
        connection.executemany(postings.SQLITE, indexed((row[0], row[_MARKS]) for row in some))
        connection.execute("COMMIT")
    for _, statement in indexes:
        connection.execute(statement)
    connection.execute("INSERT INTO places VALUES ('bench', ?, 0)", (count,))
    connection.close()


def _rows(count: int, chance: Random) -> Iterator[tuple[object, ...]]:
    """Most went well, at a few services; a few did not, in as many ways as there are. The shares are those of postgres_rows.FILL."""
    start = time.time_ns() // 1000 - DAYS * DAY_US
    for number in range(count):
        us = start + number * (DAYS * DAY_US // count)
        r1, r2, r3, r4, r5 = (chance.random() for _ in range(5))
        hexed, rest = f"{us // 1000:012x}", f"{chance.getrandbits(72):018x}"
        key = f"{hexed[:8]}-{hexed[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:]}"
        namespace, service = f"ns-{round(20 * r5**4)}", f"svc-{round(200 * r5**4)}"
        node = f"sidecar~10.0.{round(4 * r5)}.{round(250 * r1)}~pod"
        data = b'{"id":"%s","headers":["%s"],"usage":{"prompt_tokens":12}}' % (key.encode(), rest.encode() * 43)
        yield (
            *(key, r2 < 0.001, f"/proxy/{node}", f"{namespace}/{service}", us, key, 0, int(r1 * 5e6), namespace, service, node, rest),
            *("POST" if r2 < 0.99 else "GET" if r2 < 0.99999 else "DELETE", _path(r1, r2, r3, number), _status(r4)),
            *(f"spiffe://cluster.local/ns/app/sa/c{round(300 * r1**3)}", f"model-{round(60 * r3**6)}", _completeness(r1)),
            *(1000, 2000, *UNCOUNTED, *_told(number, r1, r2, r3, chance), "bench", number, 0, None, data),
        )


def _told(number: int, r1: float, r2: float, r3: float, chance: Random) -> tuple[int | None, int, str]:
    """Tokens, first token and marks: half have all that a record can say."""
    found = [
        "protocol:openai-chat" if r3 < 0.99 else "protocol:kserve-v2", "operation:chat", f"streamed:{'true' if r1 < 0.5 else 'false'}",
        f"finish_reason:{'stop' if r2 < 0.98 else 'length' if r2 < 0.9999 else 'content_filter'}", "policy:default",
        f"annotation:team={round(30 * r1**2)}", f"annotation:cost-center={round(300 * r3)}", f"user:{round(2000 * r2):032x}",
    ]  # fmt: skip
    if number % 2:
        found += [f"trace:{chance.getrandbits(128):032x}", f"session:{round(50_000 * r1):032x}", f"consumer:{round(100 * r2):032x}"]
    if number == OLD:
        found += ["trace:old", "tool:rare"]
    return None if r1 < 0.1 else round(9000 * r2**3), round(2e5 * r3), "\n" + "\n".join(found) + "\n"


def _path(r1: float, r2: float, r3: float, number: int) -> str:
    if number < OLD:  # many of one kind that lie together, at the far end
        return f"/old/{number % 9}"
    if r3 < 0.99:
        return "/v1/chat/completions" if r3 < 0.90 else "/v1/embeddings"
    return f"/v2/models/m{round(r1 * 500)}/infer?trace={round(r2 * 1e9)}" if r3 < 0.9999 else f"/rare/{round(r1 * 9)}"


def _status(chance: float) -> int | None:
    for below, status in ((0.97, 200), (0.98, 429), (0.99, 503), (0.9999, 404), (0.99999, 418)):
        if chance < below:
            return status
    return None


def _completeness(chance: float) -> int:
    for below, bits in ((0.97, 1), (0.98, 257), (0.99, 2), (0.9999, 4)):
        if chance < below:
            return bits
    return 16


async def _ask(path: Path, rounds: int) -> dict[str, float]:
    engine = open_engine(Sink(url=f"sqlite:///{path}"))
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        figures = await ask(client, rounds)
    await engine.dispose()
    return figures


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:45} {value:12.2f}", flush=True)
