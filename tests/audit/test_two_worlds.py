"""Who sees one namespace alone cannot tell by any answer what else there is: two stores that differ only in that answer the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.access.looker import Looker, Reach, Right
from collector.messages.completeness import Completeness
from tests.audit.lookers import ADA, Catalogue, looker, seen_by
from tests.audit.reading import Tailing
from tests.audit.rows import JOURNAL, MINUTE, NODE, NOW, Store, away, exchange, payload, window
from tests.audit.whole_records import ANSWER, CALLER, MARKED, PROMPT, whole

OTHER_JOURNAL = "0192aaaa-0000-7000-8000-000000000002"
OWN = ("shop", "lab")
FOREIGN = ("bank", "shop2", None)
UNKNOWN = "019aaaaa-0000-7000-8000-000000000000"


class World:
    """Rows of a random store, made the same for the same seed."""

    def __init__(self, seed: int, namespaces: tuple[str | None, ...], salt: str, journals: tuple[str, ...]) -> None:
        self._random = random.Random(f"{seed}{salt}")
        self._namespaces, self._salt, self._journals = namespaces, salt, journals
        self._consumers = ("c2", "c3", None) if salt else ("c1", "c4", None)
        self.exchanges: list[dict[str, Any]] = []
        self.payloads: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self.usage: list[dict[str, Any]] = []
        for number in range(24):
            self._add(number)

    def _add(self, number: int) -> None:
        pick = self._random
        start = NOW - pick.randrange(90) * MINUTE - number
        made = {
            "namespace": pick.choice(self._namespaces),
            "service": pick.choice(("llama", "iris")),
            "request_id": f"call-{pick.randrange(4)}",
            "status": pick.choice((200, 404, 503, None)),
            "method": pick.choice(("POST", "GET")),
            "path": pick.choice(("/v1/a", "/v1/b", "/v2/c")),
            "model": pick.choice(("llama-3", "iris")),
            "completeness": int(pick.choice((Completeness.COMPLETE, Completeness.CLIENT_ABORTED))),
            "journal": pick.choice(self._journals),
            "position": start - NOW + (1 << 40),
        }
        for revision in range(pick.choice((1, 1, 2))):
            row = exchange(start, self._salt, revision, **made)
            row["position"] += revision
            row = self._told(row)
            self.exchanges.append(row)
            side, body = pick.choice((("request", PROMPT), ("response", ANSWER)))
            self.payloads.append(payload(row, side, body))
        node = pick.choice((NODE, f"node{self._salt}{number}"))
        lost = {"queue_full": pick.randrange(3)}
        told = window(NOW - number * MINUTE, node, lost, sender=pick.choice(("", "spiffe://a")), received=pick.randrange(9), missing=1)
        self.ledger.append({**told, "namespace": made["namespace"], "id": told["id"][:-1] + ("0" if self._salt else "1")})

        key = {"namespace": made["namespace"], "service": made["service"], "model": made["model"], "consumer": pick.choice(self._consumers)}
        counts = {"calls": pick.randrange(1, 9), "output": pick.randrange(99), "input_uncached": pick.randrange(99)}
        self.usage.append({"time_us": start, "user": f"{self._salt}{number}", **key, **counts})

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with its record, and with marks, unless an older version wrote it."""
        pick = self._random
        consumer = pick.choice(self._consumers)
        caller = {**CALLER, "user": pick.choice(("ann", "bob")), "session": pick.choice(("s1", "s2")), "consumer": consumer}
        owner = {"namespace": row["namespace"]} if row["namespace"] else {}
        service = {**owner, "name": row["service"], **MARKED, "annotations": {"team": pick.choice("ab")}}
        told = whole(row, caller={name: value for name, value in caller.items() if value}, service=service)
        return {**told, "tokens": pick.randrange(9), **({"marks": None} if pick.random() < 0.1 else {})}


def fill(store: Store, *worlds: World) -> None:
    """Writes these worlds as if they had happened together: each journal in its order."""
    rows = [row for world in worlds for row in world.exchanges]
    store.exchanges(*sorted(rows, key=lambda row: (row["journal"], row["position"])))
    for world in worlds:
        store.payloads(*world.payloads)
        store.ledger(*world.ledger)
        for row in world.usage:
            store.usage(**row)


def asked(own: World, foreign: World) -> list[str]:
    """Everything that can be asked, in every way."""
    said = """
        namespace=shop namespace=bank namespace=shop&model=llama-3 service=llama model=iris&status=503 status=5xx status=503,none path=/v1*
        path=/v1/a method=GET method=GET,PUT completeness=!complete request_id=call-1 since=30m revisions=all order=asc order=stored
        order=stored&after=now order=stored&status=404 order=stored&namespace=bank order=stored&namespace=shop order=sideways
    """
    filters = [*said.split(), "", f"node={NODE}", f"order=stored&after={OTHER_JOURNAL}:5:0"]
    ids = [row["id"] for world in (own, foreign) for row in world.exchanges[:3]] + [UNKNOWN, "x"]
    below = ("", "/request", "/response", "/events", "?revision=0", "?revision=1", "/response?revision=7", "/conversation", "/timeline")
    said = """
        annotation=team=a label=tier=1 user=ann session=s1 trace=0af7651916cd43dd8448eb211c80319c tool=find tokens=>4 consumer=c1
        consumer=c2 streamed=false finish_reason=stop,length q=user:bob+tokens:>2 order=stored&user=ann user=ann&namespace=bank
        user=ann&namespace=shop path=/v1/a?*
    """
    marked = said.split()
    counted = [*marked[:4], *marked[6:8], "", "namespace=bank", "status=5xx", "model=iris", "since=30m", "revisions=all"]
    sums = ("", "group_by=namespace", "group_by=model,consumer", "group_by=user&limit=3", "group_by=hour", "group_by=day&namespace=bank")
    windows = ("", "group=proxy", "namespace=bank", f"node={NODE}", "since=9m")
    return [
        *(f"/v1/exchanges?limit={limit}&{wanted}" for wanted in filters for limit in (3, 200)),
        *(f"/v1/exchanges/{one}{more}" for one in ids for more in below),
        *(f"/v1/exchanges?limit={limit}&{wanted}" for wanted in marked for limit in (3,)),
        *(f"/v1/{route}?{wanted}" for wanted in counted for route in ("facets", "histogram", "export")),
        *(f"/v1/export?limit=4&{wanted}" for wanted in ("", "order=desc", "format=csv", "bodies=true", "user=ann", "namespace=bank")),
        *(f"/v1/usage?{wanted}" for wanted in (*sums, "since=1h", "consumer=c2", "user=ann")),
        *(f"/v1/ledger/map?{wanted}" for wanted in ("", "steps=3", "limit=1", "namespace=bank", f"node={NODE}")),
        *("/", "/?since=1h&status=5xx", "/?user=ann", "/?namespace=bank", "/usage", "/usage?group_by=user", "/losses", "/services"),
        *("/services/bank/llama", "/services/shop/llama", "/access", "/status", *(f"/exchanges/{one}" for one in ids)),
        *("/v1/access", *(f"/v1/exchanges/{one}/access" for one in ids[::4])),
        *(f"/v1/calls/call-{number}" for number in range(5)),
        *(f"/v1/ledger?limit={limit}&{wanted}" for limit in (4, 100) for wanted in windows),
        *("/v1/services", "/v1/services?limit=1", "/v1/services?namespace=bank", "/v1/services?namespace=shop"),
        *("/v1/services/bank/llama/versions", "/v1/services/shop/vault/versions", "/v1/services/none/none/versions"),
    ]


async def tailed(client: httpx.AsyncClient, query: str) -> tuple[int, list[tuple[str, str, object]]]:
    """How a tail begins, and its first events with their ids, as many as there are."""
    reader = Tailing(client._transport.app, query)  # type: ignore[attr-defined]
    status, events = await reader.begin(), list[Any]()
    page = await client.get(f"/v1/exchanges?order=stored&limit=500&revisions=all&{query}" if "after" in query else "/v1/exchanges?user=x")
    for _ in page.json().get("items", ()):
        told = await reader.told()
        events.append((told.id, told.name, told.data))
    events.append((reader.last, "", None))
    await reader.leave()
    return status, events


async def answers(client: httpx.AsyncClient, url: str) -> AsyncIterator[tuple[str, int, dict[str, str], bytes]]:
    """The answer, and those of the pages behind it."""
    page = url
    for _ in range(40):
        answer = await client.get(page)
        yield page, answer.status_code, dict(answer.headers), answer.content
        following = after(answer)
        if following is None:
            return
        page = str(httpx.URL(url).copy_merge_params({"cursor": following}))


def after(answer: httpx.Response) -> str | None:
    """The cursor of what follows."""
    if answer.content.startswith(b'{"items"'):
        told: dict[str, str] = answer.json()
        return told.get("next")
    last = answer.content[-9000:].splitlines()[-1:]
    return json.loads(last[0])["meshscribe_export"].get("next") if last and last[0].startswith(b'{"meshscribe_export"') else None


PEOPLE = {
    "one namespace": looker(*Right, reach=Reach(namespaces=frozenset({"shop"}))),
    "two namespaces": looker(*Right, reach=Reach(namespaces=frozenset(OWN))),
    "no namespace": looker(*Right, reach=Reach(consumers=frozenset({"nobody"}))),
    "one consumer": looker(*Right, reach=Reach(consumers=frozenset({"c1"}))),
    "a namespace and a consumer": looker(*Right, reach=Reach(namespaces=frozenset({"lab"}), consumers=frozenset({"c1"}))),
    "records alone": looker(Right.EXCHANGES, reach=Reach(namespaces=frozenset(OWN))),
    "texts of one": Looker(
        ADA, {Right.EXCHANGES: Reach(namespaces=frozenset(OWN)), Right.TEXTS: Reach(namespaces=frozenset({"lab"})), Right.LEDGER: Reach()}
    ),
}
QUICK = (0, "one consumer")  # of whom a namespace is no bound
EACH = [(seed, who) for seed in (0, 1) for who in PEOPLE]


@pytest.mark.parametrize(("seed", "who"), [pytest.param(*one, marks=[] if one == QUICK else pytest.mark.slow) for one in EACH])
async def test_what_may_not_be_seen_changes_no_answer(tmp_path: Path, seed: int, who: str) -> None:
    own = World(seed, OWN, "", (JOURNAL,))
    foreign = World(seed, FOREIGN, "foreign", (JOURNAL, OTHER_JOURNAL))
    alone, full = Store(tmp_path / "alone.db"), Store(tmp_path / "full.db")
    shut = away(NOW - 40 * MINUTE, NOW - 39 * MINUTE)
    fill(alone, own)
    fill(full, own, foreign)
    for store in (alone, full):
        store.ledger(shut)
    few = Catalogue([("shop", "llama"), ("lab", "iris")])
    many = Catalogue([("shop", "llama"), ("lab", "iris"), ("bank", "llama"), ("bank", "vault"), ("lab2", "iris")])
    found = 0
    async with seen_by(alone, PEOPLE[who], few) as one, seen_by(full, PEOPLE[who], many) as other:
        for url in asked(own, foreign):
            said = [answer async for answer in answers(one, url)]
            assert [answer async for answer in answers(other, url)] == said, url
            found += sum(status == 200 for _, status, _, _ in said)
            assert all(status < 500 for _, status, _, _ in said), url
        for url in asked(own, foreign)[::7]:
            assert (await one.head(url)).headers == (await other.head(url)).headers, url
        for query in ("", f"after={JOURNAL}:0:0", f"after={JOURNAL}:0:0,{OTHER_JOURNAL}:0:0&user=ann", f"after={OTHER_JOURNAL}:0:0"):
            assert await tailed(one, query) == await tailed(other, query), query
    assert found > 20
    for store in (alone, full):
        store.close()


async def test_the_worlds_do_differ_for_who_sees_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "full.db")
    foreign = World(0, FOREIGN, "foreign", (OTHER_JOURNAL,))
    fill(store, World(0, OWN, "", (JOURNAL,)), foreign)
    async with seen_by(store, None) as client:
        assert len((await client.get("/v1/exchanges?limit=200")).json()["items"]) == 48
        assert (await client.get(f"/v1/exchanges/{foreign.exchanges[0]['id']}")).status_code == 200
    store.close()


async def test_a_cursor_of_another_reach_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "full.db")
    fill(store, World(0, OWN, "", (JOURNAL,)))
    async with seen_by(store, None) as everything, seen_by(store, PEOPLE["one namespace"]) as one:
        cursor = (await everything.get("/v1/exchanges?limit=3")).json()["next"]
        answer = await one.get(f"/v1/exchanges?limit=3&cursor={cursor}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "cursor"
    store.close()


async def test_pages_of_two_namespaces_are_in_the_order_of_time_and_hold_each_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "full.db")
    own = World(1, OWN, "", (JOURNAL,))
    fill(store, own, World(1, FOREIGN, "foreign", (JOURNAL,)))
    async with seen_by(store, None) as client:
        everything = (await client.get("/v1/exchanges?limit=200")).json()["items"]
    async with seen_by(store, PEOPLE["two namespaces"]) as client:
        pages = [body async for _, _, _, body in answers(client, "/v1/exchanges?limit=5")]
        found = [item["id"] for page in pages for item in httpx.Response(200, content=page).json()["items"]]
    assert found == [item["id"] for item in everything if item["service"].get("namespace", item["proxy"].get("namespace")) in OWN]
    assert len(found) == 24
    store.close()


@pytest.mark.parametrize(
    "path", ["/v1/exchanges", "/v1/ledger", "/v1/services", f"/v1/exchanges/{UNKNOWN}", f"/v1/exchanges/{UNKNOWN}/request"]
)
async def test_without_a_right_over_anything_it_is_403_and_says_which(tmp_path: Path, path: str) -> None:
    store = Store(tmp_path / "events.db")
    async with seen_by(store, looker(Right.USAGE), Catalogue([])) as client:
        answer = await client.get(path)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:meshscribe:problem:forbidden"
    assert answer.json()["right"] in answer.json()["detail"]
    store.close()


async def test_without_texts_nobody_finds_a_query_out_by_asking_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "events.db")
    async with seen_by(store, looker(Right.EXCHANGES)) as client:
        assert (await client.get("/v1/exchanges", params={"path": "/v1/a?q=s*"})).status_code == 403
    store.close()
