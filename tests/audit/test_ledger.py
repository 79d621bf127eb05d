"""GET /v1/ledger: numbers, sums, verdicts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.audit.verdicts import verdict
from tests.audit.conftest import Api
from tests.audit.rows import MINUTE, NODE, NOW, window


async def test_a_window_says_its_counts_losses_and_verdict(api: Api) -> None:
    api.store.ledger(window(NOW, received=90, missing=4, dropped={"queue_full": 5, "too_old": 1}, both=88, tap_only=2))
    (item,) = (await api.get("/v1/ledger")).json()["items"]
    assert item["window"] == {"start": "2025-11-22T08:26:40.123456Z", "seconds": 60.0}
    assert (item["node"], item["namespace"], item["workload"]) == (NODE, "prod", "llama-predictor")
    assert (item["announced"], item["received"], item["missing"], item["lost"]) == (100, 90, 4, 10)
    assert item["dropped"] == {"queue_full": 5, "too_old": 1, "total": 6}
    assert item["batches"] == 7, "counts without a column are told too"
    assert item["verdict"] == "10 of 100 ends lost: queue full 5, too old 1, sent and never arrived 4; 2 seen by the tap only"


async def test_totals_are_of_all_that_matches_beyond_the_page(api: Api) -> None:
    api.store.ledger(*(window(NOW + n * MINUTE, f"node-{n % 3}", received=10, dropped={"queue_full": n % 2}) for n in range(9)))
    page = (await api.get("/v1/ledger", limit=2)).json()
    assert len(page["items"]) == 2
    totals = page["totals"]
    assert (totals["proxies"], totals["windows"], totals["announced"], totals["received"], totals["lost"]) == (3, 9, 94, 90, 4)
    assert totals["dropped"] == {"queue_full": 4, "total": 4}
    assert "totals" not in (await api.get("/v1/ledger", limit=2, cursor=page["next"])).json()


async def test_grouped_by_proxy_windows_are_summed(api: Api) -> None:
    api.store.ledger(
        window(NOW, "a", received=5, dropped={"queue_full": 2}),
        window(NOW + MINUTE, "a", received=7, dropped={"queue_full": 1, "too_old": 1}),
        window(NOW, "b", received=1),
    )
    a, b = (await api.get("/v1/ledger", group="proxy")).json()["items"]
    assert (a["node"], a["windows"], a["announced"], a["lost"]) == ("a", 2, 16, 4)
    assert a["dropped"] == {"queue_full": 3, "too_old": 1, "total": 4}
    assert (a["first"], a["last"]) == ("2025-11-22T08:26:40.123456Z", "2025-11-22T08:28:40.123456Z")
    assert (b["node"], b["verdict"]) == ("b", "nothing lost")


@pytest.mark.parametrize(
    ("filters", "nodes"),
    [
        ({"node": "b"}, "b"),
        ({"namespace": "prod"}, "b a"),
        ({"namespace": "dev"}, ""),
        ({"since": "90s"}, "b"),
        ({"until": "90s"}, "a"),
    ],
)
async def test_filters_choose_windows(api: Api, filters: dict[str, str], nodes: str) -> None:
    api.store.ledger(window(NOW - 2 * MINUTE, "a", received=1), window(NOW - MINUTE, "b", received=1))
    page = (await api.get("/v1/ledger", **filters)).json()
    assert [item["node"] for item in page["items"]] == nodes.split()
    assert page["totals"]["received"] == len(nodes.split())


async def test_an_empty_ledger_is_no_error(api: Api) -> None:
    page = (await api.get("/v1/ledger", group="proxy")).json()
    assert page["items"] == []
    assert page["totals"]["verdict"] == "nothing lost"


def counts(**said: int) -> dict[str, int]:
    full = dict.fromkeys(("announced", "received", "dropped", "missing", "both", "tap_only", "access_log_only", "late"), 0) | said
    return full | {"announced": full["received"] + full["dropped"] + full["missing"]}


def test_what_comes_in_a_later_window_is_told_there_and_no_loss() -> None:
    assert verdict(counts(received=10, missing=-3), {}) == "nothing lost; 3 came that were missing in an earlier window"


def test_drops_are_told_although_late_arrivals_even_the_sum() -> None:
    told = verdict(counts(received=10, missing=-3, dropped=3), {"queue_full": 3})
    assert told == "3 of 10 ends lost: queue full 3; 3 came that were missing in an earlier window"


def test_drops_without_a_known_reason_are_not_passed_over() -> None:
    assert verdict(counts(received=1, dropped=5), {"queue_full": 2}) == "5 of 6 ends lost: queue full 2, dropped 3"


@given(st.integers(0, 50), st.integers(0, 50), st.dictionaries(st.sampled_from(["queue_full", "too_old"]), st.integers(0, 9)))
def test_nothing_lost_is_said_exactly_when_nothing_was(received: int, missing: int, dropped: dict[str, int]) -> None:
    told = verdict(counts(received=received, missing=missing, dropped=sum(dropped.values())), Counter(dropped))
    assert told.startswith("nothing lost") == (missing == 0 and not any(dropped.values()))
