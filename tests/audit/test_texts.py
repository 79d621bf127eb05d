"""A search in texts finds what a look at every conversation finds, on both stores, whatever is asked."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select, text

from collector.access.looker import EVERYTHING, Looker, Reach, Right
from collector.audit.app import create_app
from collector.messages.event import Output, Place
from collector.settings import Search, Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_expiry
from collector.store.schema import texts
from collector.store.words import phrases, words
from tests.audit.conftest import Parts
from tests.audit.lookers import ADA, Front, looker
from tests.audit.rows import NOW, Clock, Store, patient
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, exchange

ON = Search(text=True)
WORDS = [
    "refund",
    "Refund",
    "card",
    "credit",
    "Łódź",
    "straße",
    "STRASSE",
    "東京",
    "AND",
    "OR",
    "NEAR",
    "text",
    "a",
    "naïve",
    "x_y",
    "4711",
]
ASKED = [
    *WORDS,
    '"credit card"',
    '"card credit" refund',
    "refund -card",
    "a OR card",
    "京",
    '"東 京"',
    "strasse lodz",
    "c*",
    "found:refund",
    "nothing",
]


def record(asked: str, answered: str) -> bytes:
    """As the pipeline stores it, as far as a conversation is read from it."""
    told: dict[str, Any] = {
        "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"content_type": "application/json", "captured": 9}},
        "response": {"status": 200, "body": {}},
        "inference": {"protocol": "openai-chat", "operation": "chat", "choices": [{"index": 0, "text": answered}]},
    }
    return json.dumps(told).encode()


def chat(number: int, asked: str, answered: str, start_us: int = NOW, **more: Any) -> Output:
    """An exchange in which that was said."""
    body = json.dumps({"messages": [{"role": "user", "content": asked}]}).encode()
    given = {"request": body, "data": record(asked, answered), "salt": str(number), **more}
    return exchange(Place(number + 1, 0), start_us, **given)


def talk(seed: int, count: int = 60) -> list[tuple[Output, str, str]]:
    """Random talks; several begin in one millisecond."""
    pick = random.Random(seed)

    def some() -> str:
        return " ".join(pick.choice(WORDS) for _ in range(pick.randrange(5)))

    made = []
    for number in range(count):
        asked, answered = some(), some()
        made.append(
            (chat(number, asked, answered, NOW - 1000 - number // 4 * 1000, namespace=pick.choice(("shop", "bank"))), asked, answered)
        )
    return made


def settings_of(store: Store) -> Sink:
    return Sink(url=store.url.replace("+aiosqlite", ""))


async def write(store: Store, outputs: Sequence[Output], search: Search = ON) -> None:
    """As a sink that starts anew does."""
    sink = open_sink(settings_of(store), TurnedClock(NOW), search=search)
    await sink.write(JOURNAL, outputs, max(output.place for output in outputs))
    await sink.close()


def brute(asked: str, talks: Sequence[tuple[Output, str, str]]) -> list[str]:
    """Newest first, the ids of those in which each phrase stands within one text."""
    found = []
    for output, *said in talks:
        lines = [f" {' '.join(words(one))} " for one in said]
        if all(any(f" {' '.join(phrase)} " in line for line in lines) for phrase in phrases(asked)):
            found.append(output.events[0].id)
    return sorted(found, reverse=True)


@pytest_asyncio.fixture
async def ask(store: Store) -> AsyncIterator[Ask]:
    made = Ask(store)
    yield made
    await made.close()


class Ask:
    """The API as who may see all sees it, and others."""

    def __init__(self, store: Store, search: Search = ON) -> None:
        self._engine = store.opened()
        self.app = create_app(self._engine, Parts(), CollectorRegistry(), patient(page_limit=500), Clock(), search=search)

    async def get(self, path: str, who: Looker | None = None, /, **asked: str | int) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Front(self.app, who)), base_url="http://audit") as client:
            return await client.get(path, params=asked)

    async def ids(self, who: Looker | None = None, /, **asked: str | int) -> list[str]:
        found: list[str] = []
        while True:
            answer = await self.get("/v1/exchanges", who, **asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [one["id"] for one in page["items"]]
            if "next" not in page:
                return found
            asked["cursor"] = page["next"]

    async def close(self) -> None:
        await self._engine.dispose()


def with_ids(talks: Sequence[tuple[Output, str, str]]) -> None:
    """Records tell their ids."""
    for number, (output, asked, answered) in enumerate(talks):
        own = output.events[0]
        told = {"id": own.id, **json.loads(own.data)}
        talks[number] = (output._replace(events=(own._replace(data=json.dumps(told).encode()), *output.events[1:])), asked, answered)  # type: ignore[index]


def told(seed: int = 1, count: int = 60) -> list[tuple[Output, str, str]]:
    made = talk(seed, count)
    with_ids(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_a_search_finds_what_a_look_at_every_conversation_finds(store: Store, ask: Ask, seed: int) -> None:
    talks = told(seed)
    await write(store, [output for output, *_ in talks])
    for asked in ASKED:
        expected = brute(asked, talks)
        assert await ask.ids(text=asked, limit=7) == expected, asked
        assert await ask.ids(text=asked, order="asc") == expected[::-1], asked
    assert await ask.ids(q='refund "credit card" namespace:shop') == await ask.ids(text='refund "credit card"', namespace="shop")
    assert (await ask.get("/v1/facets", text="refund")).json()["counted_rows"] == len(brute("refund", talks))
    assert (await ask.get("/v1/histogram", text="refund")).json()["counted_rows"] == len(brute("refund", talks))
    lines = (await ask.get("/v1/export", text="refund")).text.splitlines()
    assert [json.loads(one)["id"] for one in lines[:-1]] == brute("refund", talks)[::-1]


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60), st.text(alphabet="\"'()*:^-+&|!<>~{}\\ aANDORNEAR0", max_size=40)))
async def test_nothing_that_is_asked_is_read_as_more_than_words(ask: Ask, asked: str) -> None:
    for given_as in ({"text": asked}, {"q": asked}):
        answer = await ask.get("/v1/exchanges", **given_as)
        assert answer.status_code in (200, 400), answer.text


async def test_a_search_has_a_bound_of_words_that_is_told(ask: Ask) -> None:
    most = " ".join(f"w{number}" for number in range(32))
    assert (await ask.get("/v1/exchanges", text=most)).status_code == 200
    refused = await ask.get("/v1/exchanges", text=f"{most} more")
    assert refused.status_code == 400
    assert "more than 32 words" in refused.json()["errors"][0]["detail"]


async def test_where_it_is_off_the_setting_is_named_and_nothing_is_indexed(store: Store) -> None:
    await write(store, [chat(1, "refund", "")], Search())
    off, on = Ask(store, Search()), Ask(store)
    answer = await off.get("/v1/exchanges", text="refund")
    assert answer.status_code == 400
    assert "search.text" in answer.json()["errors"][0]["detail"]
    assert await on.ids(text="refund") == []
    await off.close()
    await on.close()


async def test_the_answer_says_since_when_words_are_indexed(store: Store, ask: Ask) -> None:
    assert "searched_from" not in (await ask.get("/v1/exchanges", text="refund")).json()
    await write(store, [chat(1, "refund", "")])
    assert (await ask.get("/v1/exchanges", text="refund")).json()["searched_from"] == "2025-11-22T08:26:40.123456Z"


async def test_who_may_not_see_texts_may_not_search_them(store: Store, ask: Ask) -> None:
    talks = told()
    await write(store, [output for output, *_ in talks])
    blind = looker(Right.EXCHANGES, Right.USAGE)
    for path in ("/v1/exchanges", "/v1/export", "/v1/facets", "/v1/histogram"):
        assert (await ask.get(path, blind, text="refund")).status_code == 403
    half = Looker(ADA, {Right.EXCHANGES: Reach(everything=True), Right.TEXTS: Reach(namespaces=frozenset({"shop"}))})
    own = [one for one in talks if one[0].events[0].columns.namespace == "shop"]  # type: ignore[union-attr]
    assert await ask.ids(half, text="refund", limit=3) == brute("refund", own) != brute("refund", talks)
    assert (await ask.get("/v1/facets", half, text="refund")).json()["counted_rows"] == len(brute("refund", own))
    assert (await ask.get("/v1/histogram", half, text="refund")).json()["counted_rows"] == len(brute("refund", own))
    assert len((await ask.get("/v1/export", half, text="refund")).text.splitlines()) == len(brute("refund", own)) + 1


@pytest.mark.slow
async def test_what_may_not_be_seen_changes_no_page_of_a_search(tmp_path: Path) -> None:
    """Two worlds that differ only in that."""
    talks = told(3, 120)
    own = [one[0] for one in talks if one[0].events[0].columns.namespace == "shop"]  # type: ignore[union-attr]
    alone, full = Store(tmp_path / "alone.db"), Store(tmp_path / "full.db")
    await write(alone, own)
    await write(full, [output for output, *_ in talks])
    shop = Reach(namespaces=frozenset({"shop"}))
    people = (looker(*Right, reach=shop), Looker(ADA, {Right.EXCHANGES: shop, Right.TEXTS: EVERYTHING}))
    one, other = Ask(alone), Ask(full)
    for who in people:
        for asked in ASKED:
            for path, more in (("/v1/exchanges", {"limit": 3}), ("/v1/facets", {}), ("/v1/histogram", {}), ("/v1/export", {"limit": 5})):
                said = [await ask.get(path, who, text=asked, **more) for ask in (one, other)]  # type: ignore[arg-type]
                assert said[0].status_code == said[1].status_code == 200
                if path == "/v1/export":  # its cursor tells the places of journals, which differ by what was written last
                    assert said[0].text.splitlines()[:-1] == said[1].text.splitlines()[:-1]
                else:
                    assert said[0].content == said[1].content, (path, asked)
            assert await one.ids(who, text=asked, limit=3) == await other.ids(who, text=asked, limit=3)
    for ask in (one, other):
        await ask.close()
    for store in (alone, full):
        store.close()


async def test_a_revision_takes_the_place_of_what_was_there_with_the_body_that_came_before(store: Store, ask: Ask) -> None:
    first, second = chat(1, "refund", "early"), chat(1, "refund", "late", revision=1, request=b"")
    for batches in ([[first, second]], [[first], [second]], [[second], [first]], [[first], [second], [first]]):
        store.transact(lambda connection: _empty(connection))
        for batch in batches:
            await write(store, batch)
        assert _lines(store) == {second.events[0].id: " late \n refund "}, batches


async def test_a_record_and_its_body_that_come_apart_are_found_as_if_they_had_come_together(store: Store, ask: Ask) -> None:
    """From Kafka each event comes by itself, in any order."""
    whole = chat(1, "refund", "early")
    for order in ((0, 1), (1, 0)):
        store.transact(lambda connection: _empty(connection))
        for number in order:
            await write(store, [Output(Place(number + 1, 0), (whole.events[number],))])
        assert _lines(store) == {whole.events[0].id: " early \n refund "}


async def test_a_replay_and_what_is_sent_again_change_nothing(store: Store) -> None:
    outputs = [output for output, *_ in told()]
    await write(store, outputs)
    before = _lines(store)
    sink = open_sink(settings_of(store), TurnedClock(NOW), search=ON)
    await sink.resend(JOURNAL, outputs[::-1])
    await sink.write(JOURNAL, outputs, outputs[-1].place)
    await sink.close()
    assert _lines(store) == before != {}


async def test_words_go_with_the_body_when_its_time_is_over(store: Store, ask: Ask) -> None:
    old, new = chat(1, "refund", "old", NOW - 5 * DAY_US), chat(2, "refund", "new")
    await write(store, [old, new])
    assert len(_lines(store)) == 2
    async for _ in open_expiry(settings_of(store)).end(NOW // DAY_US - 2):
        pass
    assert list(_lines(store)) == [new.events[0].id]
    if store.url.startswith("sqlite"):
        store.transact(lambda connection: connection.execute(text("INSERT INTO texts_index (texts_index) VALUES ('integrity-check')")))
    assert len((await ask.get("/v1/exchanges", text="refund")).json()["items"]) == 1
    assert (await ask.get("/v1/exchanges", text="old")).json()["items"] == []


async def test_exchanges_whose_numbers_fall_together_are_all_found(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [chat(number, "refund", "") for number in range(40)]
    sink = open_sink(settings_of(sqlite_store), TurnedClock(NOW), search=ON)
    monkeypatch.setattr("collector.store.texts.crc32", lambda _: 0)
    for at in range(0, 40, 7):
        await sink.write(JOURNAL, outputs[at : at + 7], Place(at + 8, 0))
    await sink.close()
    ask = Ask(sqlite_store)
    answer = await ask.get("/v1/exchanges", text="refund", limit=100)
    assert len(answer.json()["items"]) == 40
    await ask.close()


def _empty(connection: Connection) -> None:
    for name in ("texts", "payloads", "exchanges", "places"):
        connection.execute(text(f"DELETE FROM {name}"))


def _lines(store: Store) -> dict[str, str]:
    found: dict[str, str] = {}

    def read(connection: Connection) -> None:
        found.update((row.id, row.words) for row in connection.execute(select(texts.c.id, texts.c.words)))

    store.transact(read)
    return found


@pytest.mark.slow
async def test_of_more_different_words_than_a_server_holds_the_first_are_found_and_the_exchange_is_stored(store: Store, ask: Ask) -> None:
    """Postgres refuses a tsvector of more than 1 MiB, and with it would refuse the batch."""
    most = Search(text=True, exchange_bytes=1 << 20)
    for number, letters in enumerate(("w{:x}", "жжжжж{:d}")):
        many = " ".join(letters.format(word) for word in range(400_000))
        made = [(chat(number, many, f"short{number}", NOW - number * 1000), many, "")]
        with_ids(made)
        await write(store, [made[0][0]], most)
        first, last = (letters.format(word) for word in (0, 399_999))
        assert len(await ask.ids(text=f"{first} short{number}", since="1970-01-01T00:00:00Z")) == 1
        assert await ask.ids(text=last, since="1970-01-01T00:00:00Z") == []
