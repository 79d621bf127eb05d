"""Cursors: every row once, in order, whatever the page size and whatever is stored meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine

from collector.audit.app import create_app
from collector.audit.cursors import Cursor, encode
from tests.audit.conftest import Api, Parts
from tests.audit.rows import JOURNAL, NOW, SECOND, Clock, Store, exchange, patient, window
from tests.support.effort import examples

OTHER = "0192bbbb-0000-7000-8000-000000000002"


async def follow(client: httpx.AsyncClient, path: str, parameters: dict[str, str | int]) -> list[dict[str, object]]:
    """All items, page after page. A page is never empty while there is a next one."""
    items: list[dict[str, object]] = []
    while True:
        answer = await client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if "next" not in page:
            return items
        assert len(page["items"]) == parameters["limit"]
        parameters = {**parameters, "cursor": page["next"]}


async def _check(offsets: list[int], limit: int, order: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "events.db")
        rows = [
            exchange(NOW + at, str(n), status=200 + n % 2, journal=(JOURNAL, OTHER)[n % 3 == 0], position=n, ordinal=0)
            for n, at in enumerate(offsets)
        ]
        store.exchanges(*rows)
        engine = create_async_engine(store.url)
        app = create_app(engine, Parts(), CollectorRegistry(), patient(), Clock())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
            found = [item["id"] for item in await follow(client, "/v1/exchanges", {"limit": limit, "order": order, "status": "200"})]
        await engine.dispose()
        store.close()
    wanted = [row for row in rows if row["status"] == 200]
    if order == "stored":
        wanted.sort(key=lambda row: (row["journal"], row["position"]))
    else:
        wanted.sort(key=lambda row: row["id"], reverse=order == "desc")
    assert found == [row["id"] for row in wanted]


@settings(max_examples=examples(30))
@given(st.lists(st.integers(0, 5000), max_size=25), st.integers(1, 9), st.sampled_from(["asc", "desc"]))
def test_following_pages_gives_every_match_once_in_order(offsets: list[int], limit: int, order: str) -> None:
    asyncio.run(_check(offsets, limit, order))


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_in_stored_order_give_every_match_once(api: Api, limit: int) -> None:
    rows = [exchange(NOW - n, journal=(JOURNAL, OTHER)[n % 2], position=n, status=200 + n % 3) for n in range(20)]
    api.store.exchanges(*rows)
    found: list[str] = []
    parameters: dict[str, str | int] = {"order": "stored", "limit": limit, "status": "200"}
    page = await api.exchanges(**parameters)
    while "next" in page:
        found += [item["id"] for item in page["items"]]
        page = await api.exchanges(**parameters, cursor=page["next"])
    found += [item["id"] for item in page["items"]]
    wanted = sorted((row for row in rows if row["status"] == 200), key=lambda row: (row["journal"], row["position"]))
    assert found == [row["id"] for row in wanted]


async def test_what_is_stored_between_pages_neither_repeats_nor_hides_a_row(api: Api) -> None:
    rows = [exchange(NOW - n * SECOND) for n in range(6)]
    api.store.exchanges(*rows)
    first = await api.exchanges(limit=3)
    api.store.exchanges(exchange(NOW + SECOND), exchange(NOW - SECOND, "between"))
    second = await api.ids(limit=3, cursor=first["next"])
    assert second == [row["id"] for row in rows[3:]]


async def test_the_first_pages_relative_time_holds_for_all_pages(api: Api) -> None:
    rows = [exchange(NOW - n * SECOND) for n in range(10)]
    api.store.exchanges(*rows)
    first = await api.exchanges(limit=5, since="10s")
    api.clock.us += 8 * SECOND
    assert len(first["items"]) + len(await api.ids(limit=5, since="10s", cursor=first["next"])) == 10


@pytest.mark.parametrize("cursor", ["x", "!!", "bm90IGpzb24", "W10", "ab cd", "é", "WyJhIiwiYiIsLTEsbnVsbF0"])
async def test_a_damaged_cursor_is_refused(api: Api, cursor: str) -> None:
    answer = await api.get("/v1/exchanges", cursor=cursor)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "cursor"


async def test_a_cursor_of_another_query_is_refused(api: Api) -> None:
    api.store.exchanges(exchange(NOW), exchange(NOW - 1))
    page = await api.exchanges(limit=1, namespace="prod")
    answer = await api.get("/v1/exchanges", limit=1, namespace="dev", cursor=page["next"])
    assert answer.status_code == 400
    assert "another query" in answer.json()["errors"][0]["detail"]


async def test_a_cursor_forged_with_a_wrong_key_is_refused(api: Api) -> None:
    from collector.audit.cursors import fingerprint

    stored = encode(Cursor(fingerprint([("", "/v1/exchanges"), ("order", "stored")]), "no place"))
    window_ = encode(Cursor(fingerprint([("", "/v1/ledger")]), "99999999999999999999:x"))
    nul = encode(Cursor(fingerprint([("", "/v1/ledger"), ("group", "proxy")]), "node\x00"))
    assert (await api.get("/v1/exchanges", order="stored", cursor=stored)).status_code == 400
    assert (await api.get("/v1/ledger", group="proxy", cursor=nul)).status_code == 400
    assert (await api.get("/v1/ledger", cursor=window_)).status_code == 400


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_ledger_pages_give_every_window_once_the_newest_first(api: Api, limit: int) -> None:
    rows = [window(NOW + n // 2 * SECOND, f"node-{n}") for n in range(9)]
    api.store.ledger(*rows)
    found = [item["node"] for item in await follow(api.client, "/v1/ledger", {"limit": limit})]
    assert found == [row["node"] for row in sorted(rows, key=lambda row: (row["time_us"], row["id"]), reverse=True)]


async def test_ledger_pages_of_proxies_give_each_once(api: Api) -> None:
    api.store.ledger(*(window(NOW + n * SECOND, f"node-{n % 5}") for n in range(20)))
    found = await follow(api.client, "/v1/ledger", {"limit": 2, "group": "proxy"})
    assert [item["node"] for item in found] == [f"node-{n}" for n in range(5)]


async def test_a_cursor_of_another_route_is_refused(api: Api) -> None:
    api.store.exchanges(exchange(NOW), exchange(NOW - 1))
    page = await api.exchanges(limit=1)
    assert (await api.get("/v1/access", limit=1, cursor=page["next"])).status_code == 400
