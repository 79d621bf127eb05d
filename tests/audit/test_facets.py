"""Facets and histogram count what matches, within a budget, and tell where it ended them."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from collector.audit.gathering import gather
from collector.audit.histogram import edges
from collector.audit.marked import Sought
from collector.audit.moments import span
from collector.audit.pages import PORTIONS, Portions
from collector.audit.parameters import FacetQuery
from collector.messages.completeness import Completeness
from collector.messages.marks import marks
from collector.store.schema import exchanges
from tests.audit.conftest import Api, serving
from tests.audit.rows import MINUTE, NOW, SECOND, Store, exchange
from tests.audit.test_marks import filled, row


def counts(facet: dict[str, list[dict[str, object]]]) -> dict[object, object]:
    return {one["value"]: one["count"] for one in facet["values"]}


async def test_facets_are_the_counts_of_values_under_the_same_filters(api: Api) -> None:
    rows = [json.loads(one["data"]) for one in filled(api.store)]
    for asked in ({}, {"user": "u3"}, {"service": "svc1"}, {"tokens": ">5000"}):
        told = (await api.get("/v1/facets", **asked)).json()
        matching = (await api.exchanges(limit=500, **asked))["items"]
        assert told["counted_rows"] == len(matching)
        assert counts(told["facets"]["protocol"]) == Counter(one["inference"]["protocol"] for one in matching)
        assert counts(told["facets"]["service"]) == Counter(f"svc{one['n'] % 4}" for one in matching)
        assert counts(told["facets"]["annotation"]) == Counter(
            f"{k}={v}" for one in matching for k, v in one["service"]["annotations"].items()
        )
        assert "approximate" not in told
    assert len(rows) == 60


@pytest.mark.slow
async def test_a_facets_values_are_what_the_filter_of_its_name_takes(api: Api) -> None:
    filled(api.store)
    api.store.exchanges(exchange(NOW, "x", status=None, completeness=int(Completeness.TAP_MISSING), marks="\n"))
    told = (await api.get("/v1/facets")).json()["facets"]
    for name, facet in told.items():
        for one in facet["values"][:3]:
            assert len(await api.ids(limit=500, **{name: one["value"]})) == one["count"], (name, one)


async def test_of_many_values_the_most_frequent_are_told_and_how_many_more_there_are(api: Api) -> None:
    filled(api.store)
    told = (await api.get("/v1/facets", fields="session,user", values=2)).json()["facets"]
    assert list(told) == ["session", "user"]
    assert (len(told["session"]["values"]), told["session"]["more"]) == (2, 58)


async def test_a_histogram_counts_each_exchange_once_in_its_span(api: Api) -> None:
    rows = [row(number, NOW - number * 7 * MINUTE - number) for number in range(1, 50)]
    rows[3]["status"], rows[4]["status"] = 503, None
    api.store.exchanges(*rows)
    for asked in ({}, {"annotation": "cost=7"}):
        told = (await api.get("/v1/histogram", since="6h", buckets=13, **asked)).json()
        assert len(told["items"]) == 13
        assert told["counted_rows"] == 49
        assert sum((Counter(spell["counts"]) for spell in told["items"]), Counter()) == {"2xx": 47, "5xx": 1, "none": 1}
        assert [one["end"] for one in told["items"][:-1]] == [one["start"] for one in told["items"][1:]]
    both = [(await api.get("/v1/histogram", since="6h", buckets=13, **asked)).json()["items"] for asked in ({}, {"annotation": "cost=7"})]
    assert both[0] == both[1]


async def test_a_histogram_of_few_is_that_of_all_with_the_others_left_out(api: Api) -> None:
    rows = [row(number, NOW - number * 7 * MINUTE) | {"status": 200 + number % 4 * 100} for number in range(1, 50)]
    api.store.exchanges(*rows)
    whole = (await api.get("/v1/histogram", since="6h", buckets=13)).json()
    for asked, classes in (("5xx", {"5xx"}), ("4xx,5xx", {"4xx", "5xx"})):
        told = (await api.get("/v1/histogram", since="6h", buckets=13, status=asked)).json()
        wanted = [{of: count for of, count in spell["counts"].items() if of in classes} for spell in whole["items"]]
        assert [spell["counts"] for spell in told["items"]] == wanted
        assert (told["counted_rows"], "approximate" in told) == (sum(sum(one.values()) for one in wanted), False)


async def test_by_default_the_histogram_is_of_the_last_day(api: Api) -> None:
    api.store.exchanges(exchange(NOW - SECOND), exchange(NOW - 25 * 60 * MINUTE))
    told = (await api.get("/v1/histogram")).json()
    assert (told["counted_rows"], len(told["items"])) == (1, 60)


async def test_a_span_that_ends_before_it_begins_is_refused(api: Api) -> None:
    answer = await api.get("/v1/histogram", since="1h", until="2h")
    assert answer.status_code == 400
    assert (await api.get("/v1/facets", fields="colour")).status_code == 400


def test_spans_are_never_empty_and_cover_all() -> None:
    assert edges((0, 10), 3) == [0, 3, 6, 10]
    assert edges((5, 7), 60) == [5, 6, 7]
    assert PORTIONS.histogram_rows // 500 > 100


async def test_a_histogram_that_counts_to_no_end_says_so_also_within_a_microsecond(store: Store) -> None:
    store.exchanges(*(exchange(NOW - MINUTE, str(number)) for number in range(5)))
    async with serving(store, Portions(histogram_rows=3)) as api:
        told = (await api.get("/v1/histogram", since="1m", buckets=1)).json()
    assert told["approximate"] is True


async def test_what_a_record_says_twice_is_counted_once(api: Api) -> None:
    trace = {"trace_id": "ab" * 16}
    api.store.exchanges(exchange(NOW, marks=marks({"trace": trace, "inference": {"mcp": trace}})))
    told = (await api.get("/v1/facets", fields="trace")).json()["facets"]["trace"]
    assert counts(told) == {"ab" * 16: 1}


@pytest.mark.parametrize("asked", [{}, {"status": "5xx"}, {"since": "400d"}, {"since": "3d", "until": "2d"}, {"service": "none"}])
async def test_the_newest_are_gathered_each_once_however_far_they_lie_apart(api: Api, asked: dict[str, str]) -> None:
    """Slices of time have edges: just on them, a millisecond apart, and years of nothing between."""
    day = 86_400_000_000
    starts = [NOW - day * days - us for days in (0, 1, 2, 3, 6, 7, 8, 15, 63, 64, 65, 127, 128, 700, 5000) for us in (0, 1, 999, 1000)]
    rows = [row(number, at) | {"status": 503 if number % 3 else 200} for number, at in enumerate(starts)]
    api.store.exchanges(*rows)
    query = FacetQuery.model_validate(asked)
    within = span(query.since, query.until, NOW)
    wanted = await api.ids(limit=500, **asked)
    engine = api.store.opened()
    async with engine.connect() as connection:
        for budget in (1, 7, 8, 59, 60, 61):
            found = await gather(connection, Sought(query.filters, within, columns=(exchanges.c.id,)), budget)
            assert [one.id for one in found.rows] == wanted[:budget], budget
            assert (found.ended_at is not None) == (len(wanted) > budget), budget
    await engine.dispose()
