"""Filters by marks and numbers find what a look at every record finds, by the index and without it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit.marked import Bounds, Sought, _seen_of, find
from collector.audit.moments import Span
from collector.audit.parameters import ExchangeQuery
from collector.messages.completeness import Completeness
from collector.messages.marks import marks, numbers
from collector.store.schema import exchanges
from tests.audit.conftest import Api
from tests.audit.rows import NOW, SECOND, Store, exchange

HOUR = 3600 * SECOND
Check = Callable[[dict[str, Any]], bool]


def said(number: int) -> dict[str, Any]:
    """A record that differs from its neighbours."""
    chosen = random.Random(number)
    told: dict[str, Any] = {
        "inference": {
            "protocol": chosen.choice(["openai-chat", "openai-chat", "tgi"]), "operation": "chat", "streamed": chosen.random() < 0.5,
        },
        "caller": {"user": f"u{chosen.randrange(8)}", "session": f"s{number}"},
        "service": {"annotations": {"team": chosen.choice(["a", "b,c"]), "cost": "7"}, "labels": {"tier": "gold"}},
        "policy": {"rule": "default"},
        "timing": {"first_token_ms": chosen.choice([5, 50, 500])},
    }  # fmt: skip
    choice: dict[str, Any] = {"finish_reason": chosen.choice(["stop", "length"])}
    if number % 7 == 0:
        choice["tool_calls"] = [{"name": "weather"}]
    told["inference"]["choices"] = [choice]
    if number % 3:
        told["usage"] = {"total_tokens": {"value": chosen.randrange(10_000)}}
    if number % 5 == 0:
        told["trace"] = {"trace_id": f"{number:032x}"}
    return told


def row(number: int, at: int) -> dict[str, Any]:
    told = said(number)
    tokens, first = numbers(told)
    columns = {"tokens": tokens, "first_token_us": first, "marks": marks(told), "service": f"svc{number % 4}"}
    made = exchange(at, str(number), duration_us=number * 1000, request_bytes=number, response_bytes=None if number % 2 else 10, **columns)
    made["data"] = json.dumps({"id": made["id"], **told, "n": number}).encode()
    return made


FILTERS: list[tuple[dict[str, Any], Check]] = [
    ({"protocol": "tgi"}, lambda r: r["inference"]["protocol"] == "tgi"),
    ({"protocol": "tgi,openai-chat"}, lambda r: True),
    ({"operation": "infer"}, lambda r: False),
    ({"user": "u3"}, lambda r: r["caller"]["user"] == "u3"),
    ({"session": "s17"}, lambda r: r["n"] == 17),
    ({"trace": f"{20:032x}"}, lambda r: r["n"] == 20),
    ({"annotation": "team=b,c"}, lambda r: r["service"]["annotations"]["team"] == "b,c"),
    ({"annotation": "cost=7,team=a", "label": "tier=gold"}, lambda r: r["service"]["annotations"]["team"] == "a"),
    ({"tool": "weather"}, lambda r: r["n"] % 7 == 0),
    ({"finish_reason": "stop", "streamed": "true"}, lambda r: _ends(r) == "stop" and r["inference"]["streamed"]),
    ({"user": "u1", "service": "svc1"}, lambda r: r["caller"]["user"] == "u1" and r["n"] % 4 == 1),
    ({"policy": "default", "tokens": ">9000"}, lambda r: _tokens(r) > 9000),
    ({"tokens": "1000..2000"}, lambda r: 1000 <= _tokens(r) <= 2000),
    ({"duration": "<=20ms"}, lambda r: r["n"] <= 20),
    ({"first_token": ">0.4s"}, lambda r: r["timing"]["first_token_ms"] == 500),
    ({"size": "<30"}, lambda r: r["n"] + (0 if r["n"] % 2 else 10) < 30),
    ({"agent": "nobody"}, lambda r: False),
]  # fmt: skip


def _ends(record: dict[str, Any]) -> str:
    return str(record["inference"]["choices"][0]["finish_reason"])


def _tokens(record: dict[str, Any]) -> int:
    return int(record.get("usage", {}).get("total_tokens", {}).get("value", -1))


def filled(store: Store, count: int = 60) -> list[dict[str, Any]]:
    """Exchanges over two days, in several of the index's spans of time; some at the same time."""
    rows = [row(number, NOW - (number // 2) * HOUR) for number in range(count)]
    store.exchanges(*rows)
    return sorted(rows, key=lambda one: str(one["id"]), reverse=True)


WAYS = [
    (Bounds(), 500),
    (Bounds(looked_at=5, before_index=5, candidates=7), 3),
    (Bounds(looked_at=1, before_index=1, candidates=1), 500),
    (Bounds(looked_at=1, before_index=1, at_once=8), 2),
]


@pytest.mark.slow
async def test_a_filter_finds_what_a_look_at_every_record_finds_however_little_is_looked_at_for_a_page(store: Store) -> None:
    rows = filled(store)
    engine = store.opened()
    async with engine.connect() as connection:
        for asked, check in FILTERS:
            expected = [one["id"] for one in rows if check(json.loads(one["data"]))]
            for order in ("desc", "asc"):
                for bounds, limit in WAYS:
                    found = await everything(connection, ExchangeQuery.model_validate({**asked, "order": order}), bounds, limit)
                    assert found == (expected if order == "desc" else expected[::-1]), (asked, order, bounds)
    await engine.dispose()


async def everything(connection: AsyncConnection, query: ExchangeQuery, bounds: Bounds, limit: int) -> list[str]:
    """The ids on all pages. Each page goes on behind the one before it."""
    found, behind = [], None
    while True:
        page = await find(connection, Sought(query, Span(), bounds=bounds), behind, limit)
        assert len(page.rows) <= limit
        found += [one.id for one in page.rows]
        if page.next is None:
            return found
        assert behind is None or (page.next < behind if query.order == "desc" else page.next > behind)
        behind = page.next


async def test_pages_of_who_sees_little_are_the_same_whatever_others_have(store: Store) -> None:
    engine = store.opened()
    seen = exchanges.c.namespace == "mine"
    query = ExchangeQuery(annotation="cost=7")

    async def pages() -> list[str | None]:
        ends, behind = [], None
        async with engine.connect() as connection:
            while True:
                page = await find(connection, Sought(query, Span(), seen, bounds=Bounds(5, 5, 7)), behind, 3)
                ends.append(page.next)
                if (behind := page.next) is None:
                    return ends

    mine = [{**row(number, NOW - number * HOUR), "namespace": "mine"} for number in range(100, 120)]
    store.exchanges(*mine)
    before = await pages()
    store.exchanges(*({**row(number, NOW - number * HOUR // 2), "namespace": "theirs"} for number in range(200, 260)))
    assert await pages() == before
    assert {end for end in before if end} <= {one["id"] for one in mine}
    await engine.dispose()


async def test_filters_go_through_the_api_with_their_pages(api: Api) -> None:
    rows = filled(api.store)
    expected = [one["id"] for one in rows if json.loads(one["data"])["caller"]["user"] == "u3"]
    found, cursor = [], {}
    while True:
        page = await api.exchanges(user="u3", limit=2, **cursor)
        found += [item["id"] for item in page["items"]]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert found == expected


async def test_an_exchange_of_a_span_of_time_is_found_in_it_alone(api: Api) -> None:
    rows = filled(api.store)
    times = {one["id"]: one["time_us"] for one in rows}
    ids = await api.ids(user="u3", since="10h", until="2h")
    assert ids == [
        one["id"] for one in rows
        if json.loads(one["data"])["caller"]["user"] == "u3" and NOW - 10 * HOUR <= times[one["id"]] < NOW - 2 * HOUR
    ]  # fmt: skip


async def test_a_request_id_is_found_whatever_tracing_made_of_its_digit(api: Api) -> None:
    row = exchange(NOW, request_id="7d2f9c3e-0000-4000-8000-000000000001")
    api.store.exchanges(row)
    for digit in "49abx":
        assert await api.ids(request_id=f"7d2f9c3e-0000-{digit}000-8000-000000000001") == [row["id"]]
    assert await api.ids(request_id="7d2f9c3e-0000-4000-8000-000000000002") == []


async def test_what_an_older_version_wrote_is_not_passed_over_in_silence(api: Api) -> None:
    old = exchange(NOW - HOUR)
    api.store.exchanges(old, row(1, NOW))
    page = await api.exchanges(session="s1")
    assert [item["n"] for item in page["items"]] == [1]
    assert page["complete_from"] == "2025-11-22T07:26:40.123457Z"
    assert "complete_from" not in await api.exchanges(status=200)


@pytest.mark.parametrize(
    "asked",
    [{"tokens": "many"}, {"duration": "2 weeks"}, {"size": "9..1"}, {"annotation": "team"}, {"streamed": "perhaps"}, {"tokens": ">"}],
)
async def test_a_filter_that_cannot_be_read_is_refused(api: Api, asked: dict[str, str]) -> None:
    answer = await api.get("/v1/exchanges", **asked)
    assert answer.status_code == 400
    assert [wrong["parameter"] for wrong in answer.json()["errors"]] == list(asked)


async def test_marks_go_together_with_the_filters_that_have_indexes(api: Api) -> None:
    filled(api.store)
    api.store.exchanges(exchange(NOW, "odd", status=503, marks=marks(said(3)), completeness=int(Completeness.TAP_MISSING)))
    user = said(3)["caller"]["user"]
    assert len(await api.ids(user=user, status="5xx", completeness="tap_missing")) == 1


async def test_a_page_of_large_records_ends_early_however_many_steps_it_takes(store: Store) -> None:
    filled(store)
    engine = store.opened()
    async with engine.connect() as connection:
        sought = Sought(ExchangeQuery(protocol="tgi,openai-chat"), Span(), bounds=Bounds(1, 1, 60, at_once=1), size=2000)
        found = await find(connection, sought, None, 60)
    assert 1 < len(found.rows) < 10
    assert found.next == found.rows[-1].id
    await engine.dispose()


async def test_what_an_index_names_is_read_once_in_growing_parts(store: Store) -> None:
    async def named() -> AsyncIterator[list[str]]:
        for number in (3, 40, 0, 17):
            yield [f"{number}-{one:02d}" for one in range(number)]

    engine = store.opened()
    async with engine.connect() as connection:
        sought = Sought(ExchangeQuery(), Span(), bounds=Bounds(at_once=8))
        parts = [some async for some in _seen_of(connection, sought, named(), 2)]
    await engine.dispose()
    assert [one for some in parts for one in some] == [one async for some in named() for one in some]
    assert [len(some) for some in parts] == [2, 4, 8, 8, 8, 8, 8, 8, 6]
