"""A page is one look at the log, shows no more than who looks may see, and cannot be passed by with what pages use among themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from collector.access.look_writer import LookWriter
from collector.access.looker import EVERYTHING, Looker, Reach, Right
from collector.access.open import open_access
from collector.access.roles import Authority
from collector.access.static_tokens import line, new_token
from collector.audit.app import create_app
from collector.audit.looks import INNER, OF_PAGE, REASON_HEADER
from collector.clock import SystemClock
from collector.settings import Access, Audit, Settings
from collector.views.app import mount
from tests.audit.lookers import ADA, Ticking, Well, looker, looks_in, seen_by, written_down
from tests.audit.rows import MINUTE, NOW, Store, exchange, patient
from tests.audit.whole_records import whole

OWN = Reach(namespaces=frozenset({"shop"}))
PAGES = ("/", "/together?request_id=r", "/usage", "/losses", "/services", "/access", "/status")


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Store]:
    """Three exchanges of one namespace with one of another between them."""
    store = Store(tmp_path / "events.db")
    namespaces = ("shop", "bank", "shop", "shop")
    store.exchanges(*(whole(exchange(NOW - (4 - n) * MINUTE, namespace=name, position=n)) for n, name in enumerate(namespaces)))
    yield store
    store.close()


def ids(store: Store, namespace: str = "shop") -> list[str]:
    """From the oldest on."""
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT id FROM exchanges WHERE namespace = :n ORDER BY id"), {"n": namespace})
        return list(found.scalars())


async def test_the_page_of_an_exchange_is_a_look_at_it_alone(filled: Store) -> None:
    _oldest, middle, newest = ids(filled)
    async with written_down(filled) as writer, seen_by(filled, looker(*Right), looks=writer) as client:
        page = await client.get(f"/exchanges/{middle}")
    assert page.status_code == 200
    assert f"/exchanges/{newest}" in page.text
    [look] = looks_in(filled)
    assert (look["action"], look["shown"], look["exchanges"]) == ("record", 1, f'["{middle}"]'.encode())


async def test_who_sees_one_namespace_goes_from_each_of_its_exchanges_to_the_next(filled: Store) -> None:
    oldest, middle, _newest = ids(filled)
    async with written_down(filled) as writer, seen_by(filled, looker(*Right, reach=OWN), looks=writer) as client:
        page = await client.get(f"/exchanges/{oldest}")
        foreign = await client.get(f"/exchanges/{ids(filled, 'bank')[0]}")
    assert page.status_code == 200
    assert f"/exchanges/{middle}" in page.text
    assert foreign.status_code == 404
    assert [(look["status"], look["shown"]) for look in looks_in(filled)] == [(200, 1), (404, 0)]


async def test_a_page_asks_why_where_a_reason_is_needed_and_takes_either_way_to_say_it(filled: Store) -> None:
    [one, *_] = ids(filled)
    async with written_down(filled) as writer, seen_by(filled, looker(*Right), looks=writer, reason_required=True) as client:
        asked = await client.get(f"/exchanges/{one}")
        said = [
            await client.get(f"/exchanges/{one}?reason=ticket"),
            await client.get(f"/exchanges/{one}", headers={REASON_HEADER: "ticket"}),
        ]
        parts = [await client.get(f"/v1/exchanges/{one}/{part}") for part in ("conversation", "timeline", "events")]
    assert (asked.status_code, "Why do you look?" in asked.text) == (403, True)
    assert [answer.status_code for answer in said] == [200, 200]
    assert [answer.status_code for answer in parts] == [403, 403, 403]
    looks = [(look["status"], look["shown"], look["reason"]) for look in looks_in(filled)]
    assert looks == [(403, 0, ""), (200, 1, "ticket"), (200, 1, "ticket"), *[(403, 0, "")] * 3]


async def test_all_of_a_call_on_one_page_is_one_look_at_each_of_its_exchanges(filled: Store) -> None:
    with filled.engine.begin() as connection:
        connection.execute(text("UPDATE exchanges SET request_id = 'r'"))
    async with written_down(filled) as writer, seen_by(filled, looker(*Right, reach=OWN), looks=writer, reason_required=True) as client:
        asked = await client.get("/together?request_id=r")
        page = await client.get("/together?request_id=r&reason=ticket")
    assert (asked.status_code, "Why do you look?" in asked.text) == (403, True)
    assert page.status_code == 200
    refused, look = looks_in(filled)
    assert (refused["status"], refused["shown"]) == (403, 0)
    assert (look["status"], look["shown"], look["reason"]) == (200, 3, "ticket")
    assert sorted(orjson.loads(look["exchanges"])) == ids(filled)


async def test_a_page_with_texts_is_not_given_without_its_look(filled: Store) -> None:
    [one, *_] = ids(filled)
    async with written_down(filled, seconds=0.05) as writer:
        filled.transact(lambda connection: connection.execute(text("ALTER TABLE looks RENAME TO away")))  # type: ignore[arg-type,return-value]
        async with seen_by(filled, None, looks=writer) as client:
            pages = [await client.get(path) for path in ("/", f"/exchanges/{one}", "/losses")]
        filled.transact(lambda connection: connection.execute(text("ALTER TABLE away RENAME TO looks")))  # type: ignore[arg-type,return-value]
    assert [page.status_code for page in pages] == [503, 503, 200]
    assert [(look["status"], look["shown"]) for look in looks_in(filled)] == [(503, 0), (503, 0), (200, 0)]


async def test_the_status_is_a_look_at_nothing_for_who_may_not_see_the_ledger(filled: Store) -> None:
    async with written_down(filled) as writer, seen_by(filled, Looker(ADA, {Right.USAGE: EVERYTHING}), looks=writer) as client:
        assert (await client.get("/status")).status_code == 200
    assert looks_in(filled) == []


@asynccontextmanager
async def locked(store: Store, writer: LookWriter, tokens: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """The pages behind a login, and the token that opens."""
    token = new_token()
    tokens.write_text(line("ada", token) + "\n", encoding="utf-8")
    engine = store.opened()
    async with AsyncExitStack() as stack:
        opened = await open_access(Settings(access=Access(tokens_file=tokens)), SystemClock(), stack, Authority([], None).looker)
        app = create_app(engine, Well(), CollectorRegistry(), patient(), Ticking(), None, opened, writer)
        mount(app, Ticking(), Audit().page_limit)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8081") as client:
            yield client, token
    await engine.dispose()


@pytest.mark.slow
async def test_pages_need_a_login_and_what_they_load_does_not(filled: Store, tmp_path: Path) -> None:
    [one, *_] = ids(filled)
    async with written_down(filled) as writer, locked(filled, writer, tmp_path / "tokens") as (client, token):
        for path in (*PAGES, f"/exchanges/{one}", "/services/shop/llama"):
            assert (await client.get(path)).status_code == 401, path
            led = await client.get(path, headers={"Accept": "text/html"})
            assert (led.status_code, led.headers["location"].startswith("/login?next=/")) == (303, True)
            assert (await client.get(path, headers={"Authorization": f"Bearer {token}"})).status_code in (200, 404), path
        for path in ("/login", "/assets/style.css", "/assets/page.js", "/assets/icon.svg"):
            assert (await client.get(path)).status_code == 200, path


async def test_who_is_refused_at_a_page_is_seen(filled: Store, tmp_path: Path) -> None:
    async with written_down(filled) as writer, locked(filled, writer, tmp_path / "tokens") as (client, _):
        await client.get("/?since=1h", headers={"Authorization": "Bearer mscr_wrong"})
        await client.get("/login/callback?code=secret&state=x")
    assert [(look["name"], look["path"], look["filter"], look["status"]) for look in looks_in(filled)] == [("", "/", "since=1h", 401)]


FORGED: list[dict[str, Any]] = [
    {"headers": {INNER: "1", "x-for-page": "true", OF_PAGE: "[]", "looker": "ada"}},
    {"params": {INNER: "1", OF_PAGE: "1", "state": "for_page", "looker": "ada"}},
    {"headers": {"cookie": f"{INNER}=1; state={INNER}"}},
    {"headers": {"state": f'{{"{INNER}": true}}', "x-forwarded-client-cert": "By=x;URI=spiffe://a"}},
    {"extensions": {INNER: True, "state": {INNER: True}}},
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize(
    "path", ["/v1/exchanges", "/", "//v1/exchanges", "/v1/exchanges/", "/assets/../v1/exchanges", "/login/../v1/exchanges"]
)
async def test_nobody_passes_for_a_page(filled: Store, tmp_path: Path, forged: dict[str, Any], path: str) -> None:
    async with written_down(filled) as writer, locked(filled, writer, tmp_path / "tokens") as (client, _):
        assert (await client.get(path, **forged)).status_code == 401


async def test_a_websocket_is_closed_whatever_it_says_of_itself(filled: Store, tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async with written_down(filled) as writer, locked(filled, writer, tmp_path / "tokens") as (client, _):
        app: Any = client._transport.app  # type: ignore[attr-defined]
        headers = [(b"host", b"127.0.0.1:8081"), (INNER.encode(), b"1")]
        scope = {"type": "websocket", "path": "/v1/tail", "raw_path": b"/v1/tail", "query_string": b"", "headers": headers, "scheme": "ws"}
        await app({**scope, "state": {}, "client": ("10.0.0.1", 1), "server": ("127.0.0.1", 8081)}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
