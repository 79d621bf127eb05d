"""A column that holds a value of another kind, as a flipped bit in a row's head makes SQLite read it, breaks no answer: whatever table,
column and kind of value. Each of a store's rows has another column hit, and everything is asked of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from collector.access.looker import Reach, Right
from collector.audit.app import create_app
from collector.audit.problems import DAMAGED
from collector.settings import Sink
from collector.store.engine import open_engine
from collector.store.schema import exchanges, ledger, looks, looks_at, payloads, usage_keys
from collector.views.app import mount
from tests.audit.conftest import Parts
from tests.audit.lookers import Front, looker
from tests.audit.rows import MINUTE, NOW, SECOND, Clock, Store, exchange, name, patient, payload, window
from tests.audit.whole_records import ANSWER, PROMPT, whole

KINDS = ("x'00ff61'", "'a text'", "7.5", "NULL")
ASKED = (
    "/v1/exchanges?limit=500", "/v1/exchanges?order=asc&namespace=prod&limit=500", "/v1/exchanges?order=stored&limit=500",
    "/v1/exchanges?tokens=>1&limit=500", "/v1/exchanges?annotation=team=a&limit=500", "/v1/facets", "/v1/export", "/v1/export?bodies=true",
    "/v1/export?format=csv", "/v1/histogram?since=2025-11-20T00:00:00Z&until=2026-11-24T00:00:00Z", "/v1/ledger?limit=500",
    "/v1/ledger?group=proxy&limit=500", "/v1/ledger/map", "/v1/usage?group_by=model,namespace,hour&since=2025-11-20T00:00:00Z",
    "/v1/usage?group_by=day&since=2025-11-20T00:00:00Z", "/v1/access?limit=500", "/v1/services", "/", "/usage?since=2025-11-20T00:00:00Z",
    "/losses", "/services", "/access", "/status",
)  # fmt: skip
OF_ONE = ("", "/events", "/request", "/response", "/conversation", "/timeline", "/access")
HIT = {
    table: [(column.name, kind) for column in table.columns for kind in KINDS] for table in (exchanges, payloads, ledger, looks, usage_keys)
}


@pytest.fixture
def hit(tmp_path: Path) -> Iterator[Store]:
    """A store in which every column of every table is hit once by each kind of value, in a row of its own."""
    store = Store(tmp_path / "events.db")
    of = [whole(exchange(NOW + at * SECOND)) for at in range(max(map(len, HIT.values())))]
    store.exchanges(*of)
    store.payloads(*(payload(row, side, text) for row in of for side, text in (("request", PROMPT), ("response", ANSWER))))
    store.ledger(*(window(NOW + at * MINUTE, f"node-{at}", {"queue_full": 1}, received=1) for at in range(len(HIT[ledger]))))
    for at in range(len(HIT[usage_keys])):
        store.usage(NOW, calls=1, output=5, namespace="prod", service="llama", model=f"m-{at}")
    told = {"proof": "oidc", "address": "", "action": "list", "method": "GET", "path": "/", "filter": "", "status": 200, "reason": ""}
    shown = {"count": 1, "shown": 1, "exchanges": b"[]"}
    seen = [{"id": name(NOW + at, "look"), "time_us": NOW + at, "name": "ada", **told, **shown} for at in range(len(HIT[looks]))]
    store.transact(lambda connection: connection.execute(insert(looks), seen))
    store.transact(lambda connection: connection.execute(insert(looks_at), [{"exchange": of[0]["id"], "look": one["id"]} for one in seen]))
    hits = ((table.name, column, value, at) for table, columns in HIT.items() for at, (column, value) in enumerate(columns, 1))
    overwrite(store.path, *(f'UPDATE OR REPLACE {table} SET "{column}" = {value} WHERE rowid = {at}' for table, column, value, at in hits))
    yield store
    store.close()


def overwrite(path: Path, *statements: str) -> None:
    """Whatever the tables' declarations say."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


WHO = {
    "all": None,
    "without texts": looker(Right.EXCHANGES, Right.USAGE, Right.LEDGER, Right.SERVICES, reach=Reach(namespaces=frozenset({"prod"}))),
}


@pytest.fixture(params=WHO)
async def client(hit: Store, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    engine = open_engine(Sink(url=f"sqlite:///{hit.path}"))
    app = create_app(engine, Parts(), CollectorRegistry(), patient(page_limit=500), Clock())
    mount(app, Clock(), 500)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Front(app, WHO[request.param])), base_url="http://audit") as client:
        yield client
    await app.tails.stop()
    await engine.dispose()


@pytest.mark.slow
async def test_a_value_of_another_kind_breaks_no_answer(client: httpx.AsyncClient) -> None:
    broken = []
    known = [name(NOW + at * SECOND) for at in range(len(HIT[exchanges]))]
    for url in (*ASKED, *(f"/v1/exchanges/{one}{of}" for one in known for of in OF_ONE), *(f"/exchanges/{one}" for one in known)):
        answer = await client.get(url, headers={"accept": "*/*" if url.startswith("/v1") else "text/html"})
        if answer.status_code >= 500 and DAMAGED not in answer.text:
            broken.append((url, answer.status_code))
    assert broken == []
