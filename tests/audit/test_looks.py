"""Every look at the log is an event, durable before its answer begins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.types import Message

from collector.access.look import MOST_IDS, made
from collector.access.looker import EVERYTHING, Looker, Person, Reach, Right
from collector.audit.looks import REASON_HEADER
from collector.sqlite.turns import turn
from tests.audit.lookers import ADA, looker, looks_in, seen_by, written_down
from tests.audit.rows import MINUTE, NOW, Store, exchange, payload

UNKNOWN = "019aaaaa-0000-7000-8000-000000000000"


@pytest.fixture
def filled(store: Store) -> Store:
    """Three exchanges, each with an answer, in both kinds of store."""
    rows = [exchange(NOW - number * MINUTE, position=100 - number) for number in range(3)]
    store.exchanges(*reversed(rows))
    store.payloads(*(payload(row, "response", b"it says much") for row in rows))
    return store


async def test_who_what_from_where_and_how_many_is_written_down(filled: Store) -> None:
    async with written_down(filled) as writer, seen_by(filled, looker(*Right), looks=writer) as client:
        answer = await client.get("/v1/exchanges?namespace=prod&path=/v1/chat/completions", headers={REASON_HEADER: "ticket 4711"})
    [look] = looks_in(filled)
    assert (look["name"], look["proof"], look["address"]) == ("ada", "token", "127.0.0.1")
    assert (look["action"], look["method"], look["path"], look["status"]) == ("list", "GET", "/v1/exchanges", 200)
    assert look["filter"] == "namespace=prod&path=/v1/chat/completions"
    assert look["reason"] == "ticket 4711"
    assert (look["count"], look["shown"]) == (3, 3)
    assert json.loads(look["exchanges"]) == [item["id"] for item in answer.json()["items"]]


async def test_a_list_without_texts_shows_nobody_s_texts(filled: Store) -> None:
    async with written_down(filled) as writer, seen_by(filled, looker(Right.EXCHANGES), looks=writer) as client:
        await client.get("/v1/exchanges")
    [look] = looks_in(filled)
    assert (look["count"], look["shown"], json.loads(look["exchanges"])) == (3, 0, [])


async def test_the_look_is_in_the_store_before_the_answer_begins(filled: Store) -> None:
    async with written_down(filled) as writer, seen_by(filled, None, looks=writer) as client:
        seen: list[int] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(len(looks_in(filled)))

        front = client._transport.app  # type: ignore[attr-defined]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/exchanges",
            "query_string": b"",
            "headers": [],
            "raw_path": b"",
            "root_path": "",
        }

        async def receive() -> Message:
            return {"type": "http.request"}

        await front({**scope, "http_version": "1.1", "scheme": "http", "server": ("audit", 80), "client": ("10.0.0.9", 5)}, receive, send)
    assert seen == [1]


async def test_a_secret_in_a_query_does_not_land(filled: Store) -> None:
    async with written_down(filled) as writer, seen_by(filled, None, looks=writer) as client:
        await client.get("/v1/exchanges", params={"path": "/v1/chat?api_key=sk-very-secret"})
    [look] = looks_in(filled)
    assert "sk-very-secret" not in str(look)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/exchanges/{UNKNOWN}", 404),
        ("/v1/exchanges?limit=0", 400),
        ("/v1/ledger", 403),
        ("/v1/nothing/of/the/kind", 404),
        ("/v1/access", 403),
    ],
)
async def test_what_is_refused_is_a_look_that_showed_nothing(filled: Store, path: str, status: int) -> None:
    who = Looker(ADA, {Right.EXCHANGES: EVERYTHING, Right.ACCESS: Reach(namespaces=frozenset({"prod"}))})
    async with written_down(filled) as writer, seen_by(filled, who, looks=writer) as client:
        assert (await client.get(path)).status_code == status
    [look] = looks_in(filled)
    assert (look["status"], look["count"], look["shown"], look["name"]) == (status, 0, 0, "ada")


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/docs"])
async def test_probes_and_the_manual_are_no_looks(filled: Store, path: str) -> None:
    async with written_down(filled) as writer, seen_by(filled, None, looks=writer) as client:
        assert (await client.get(path)).status_code == 200
    assert looks_in(filled) == []


async def test_without_its_look_no_text_or_body_is_given_and_all_else_is(sqlite_store: Store) -> None:
    row = exchange(NOW)
    sqlite_store.exchanges(row)
    sqlite_store.payloads(payload(row, "response", b"it says much"))
    async with written_down(sqlite_store, seconds=0.05) as writer:
        sqlite_store.transact(lambda connection: connection.execute(text("ALTER TABLE looks RENAME TO away")))  # type: ignore[arg-type,return-value]
        async with seen_by(sqlite_store, None, looks=writer) as client:
            texts = await client.get("/v1/exchanges")
            body = await client.get(f"/v1/exchanges/{row['id']}/response")
            ledger = await client.get("/v1/ledger")
        sqlite_store.transact(lambda connection: connection.execute(text("ALTER TABLE away RENAME TO looks")))  # type: ignore[arg-type,return-value]
    assert (texts.status_code, body.status_code, ledger.status_code) == (503, 503, 200)
    assert body.json()["type"] == "urn:meshscribe:problem:look-not-written"
    assert b"much" not in body.content
    assert [(look["status"], look["shown"]) for look in looks_in(sqlite_store)] == [(503, 0), (503, 0), (200, 0)]


async def test_a_body_needs_a_reason_where_one_is_required(filled: Store) -> None:
    async with written_down(filled) as writer, seen_by(filled, looker(*Right), looks=writer, reason_required=True) as client:
        [first, *_] = (await client.get("/v1/exchanges")).json()["items"]
        body = f"/v1/exchanges/{first['id']}/response"
        refused = [await client.get(path) for path in (body, f"/v1/exchanges/{first['id']}", f"/v1/exchanges/{first['id']}/events")]
        said = [await client.get(body, headers={REASON_HEADER: "ticket"}), await client.get(body, params={"reason": "a complaint"})]
    assert [answer.status_code for answer in (*refused, *said)] == [403, 403, 403, 200, 200]
    assert refused[0].json()["type"] == "urn:meshscribe:problem:reason-needed"
    assert [(look["reason"], look["filter"], look["shown"]) for look in looks_in(filled)][4:] == [("ticket", "", 1), ("a complaint", "", 1)]


async def test_who_looked_is_listed_newest_first_in_pages_and_by_filters(filled: Store) -> None:
    bob = Looker(Person("bob", "oidc"), looker(*Right).rights)
    async with written_down(filled) as writer:
        async with seen_by(filled, bob, looks=writer) as client:
            await client.get("/v1/ledger")
        async with seen_by(filled, looker(*Right), looks=writer) as client:
            [first, *_] = (await client.get("/v1/exchanges")).json()["items"]
            await client.get(f"/v1/exchanges/{first['id']}/response")
            by_name = (await client.get("/v1/access?who=bob")).json()["items"]
            by_action = (await client.get("/v1/access", params={"action": "response body"})).json()["items"]
            by_id = (await client.get(f"/v1/access?id={first['id']}")).json()["items"]
            page = (await client.get("/v1/access?limit=2")).json()
            rest = (await client.get(f"/v1/access?limit=2&cursor={page['next']}")).json()
            seen = (await client.get(f"/v1/exchanges/{first['id']}/access")).json()["items"]
    assert [look["who"] for look in by_name] == [{"name": "bob", "proof": "oidc"}]
    assert [look["action"] for look in by_action] == ["response body"]
    assert [look["action"] for look in by_id] == ["response body", "list"]
    assert [look["action"] for look in page["items"] + rest["items"]] == ["access", "access", "access", "response body"]
    assert seen == by_id


async def test_who_sees_a_namespace_sees_who_saw_its_exchanges_but_not_what_else_they_asked(filled: Store) -> None:
    async with written_down(filled) as writer:
        async with seen_by(filled, looker(*Right), looks=writer) as client:
            [first, *_] = (await client.get("/v1/exchanges?since=1d")).json()["items"]
        mine = looker(Right.ACCESS, reach=Reach(namespaces=frozenset({"prod"})))
        others = looker(Right.ACCESS, reach=Reach(namespaces=frozenset({"lab"})))
        async with seen_by(filled, mine, looks=writer) as client:
            [seen] = (await client.get(f"/v1/exchanges/{first['id']}/access")).json()["items"]
        async with seen_by(filled, others, looks=writer) as client:
            assert (await client.get(f"/v1/exchanges/{first['id']}/access")).status_code == 404
    assert seen["who"]["name"] == "ada"
    assert not {"filter", "exchanges", "count", "path"} & seen.keys()


async def test_of_very_many_exchanges_a_look_tells_the_first_and_how_many(tmp_path: Path) -> None:

    look = made(NOW, b"x", ADA, "", ("GET", "/v1/exchanges", ""), "list", 200, 5000, tuple(str(number) for number in range(5000)), "")
    assert (look.shown, len(look.exchanges)) == (5000, MOST_IDS)


async def test_who_gives_up_waiting_for_his_turn_at_the_file_leaves_it_to_the_next(sqlite_store: Store) -> None:
    lock = turn(sqlite_store.path)
    lock.acquire()
    async with written_down(sqlite_store, seconds=30) as writer:
        writing = asyncio.ensure_future(writer.write(made(NOW, b"x", ADA, "", ("GET", "/v1/ledger", ""), "ledger", 200, 1, (), "")))
        await asyncio.sleep(0)
        assert writer._task is not None
        writer._task.cancel()
        await asyncio.wait({writer._task})
        lock.release()
        assert await asyncio.to_thread(lock.acquire, timeout=20)  # the thread that still waited gave it back
        lock.release()
    await writing
    assert len(looks_in(sqlite_store)) == 1


async def test_looks_that_wait_together_are_written_together_and_each_once(filled: Store) -> None:
    async with written_down(filled) as writer:
        ids = tuple(f"{number:036d}" for number in range(900))
        asked = ("GET", "/v1/exchanges", "")
        made_now = [made(NOW + n * 1000, bytes([n]), ADA, "", asked, "list", 200, 1, ids, "") for n in range(20)]
        await asyncio.gather(*(writer.write(look) for look in made_now))
    assert [look["id"] for look in looks_in(filled)] == [look.id for look in made_now]
