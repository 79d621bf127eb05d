"""GET /v1/ledger: numbers, sums, verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import EVERYTHING
from collector.audit import ledger_cures, ledger_queries
from collector.audit.ledger_queries import Sought
from collector.audit.moments import Span
from collector.audit.pages import Portions
from collector.messages.ledger_data import LARGEST
from tests.audit.conftest import Api, serving
from tests.audit.rows import MINUTE, NODE, NOW, Store, away, window

MORNING, NOON = "spiffe://cluster.local/ns/prod/sa/a", "spiffe://cluster.local/ns/prod/sa/b"


async def totals(api: Api, **filters: str | int) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get("/v1/ledger", **filters)).json()["totals"]
    return found


async def test_a_window_says_its_counts_losses_and_verdict(api: Api) -> None:
    api.store.ledger(window(NOW, received=90, missing=4, dropped={"queue_full": 5, "too_old": 1}, both=88, tap_only=2))
    (item,) = (await api.get("/v1/ledger")).json()["items"]
    assert item["window"] == {"start": "2025-11-22T08:26:40.123456Z", "seconds": 60.0}
    assert (item["node"], item["namespace"], item["workload"]) == (NODE, "prod", "llama-predictor")
    assert (item["announced"], item["received"], item["missing"], item["lost"]) == (100, 90, 4, 10)
    assert item["dropped"] == {"queue_full": 5, "too_old": 1, "total": 6}
    assert item["batches"] == 7, "counts without a column are told too"
    assert (item["state"], item["gaps"]) == ("lost", 0), "one witness is no gap where one is expected"
    assert item["verdict"] == "lost 10 (10 of 100 ends of streams: queue full 5, too old 1, sent and never arrived 4)"


async def test_totals_are_of_all_that_matches_beyond_the_page(api: Api) -> None:
    api.store.ledger(*(window(NOW + n * MINUTE, f"node-{n % 3}", received=10, dropped={"queue_full": n % 2}) for n in range(9)))
    page = (await api.get("/v1/ledger", limit=2)).json()
    assert len(page["items"]) == 2
    found = page["totals"]
    assert (found["proxies"], found["windows"], found["announced"], found["received"], found["lost"]) == (3, 9, 94, 90, 4)
    assert found["dropped"] == {"queue_full": 4, "total": 4}
    assert "totals" not in (await api.get("/v1/ledger", limit=2, cursor=page["next"])).json()


async def test_of_proxies_without_a_tap_it_is_not_said_that_nothing_was_lost(api: Api) -> None:
    """An access log announces nothing: what of it never came nobody tells."""
    api.store.ledger(window(NOW, "a", received=5), window(NOW, "b", access_log_only=7, access_log_entries=7))
    found = await totals(api)
    assert (found["state"], found["log_only"], found["proxies"]) == ("nothing_lost", 1, 2)
    assert found["verdict"].startswith("nothing lost of what was announced; 1 proxy has no tap: what its access log lost is not known")
    a, b = (await api.get("/v1/ledger", group="proxy")).json()["items"]
    assert a["verdict"] == "nothing lost"
    assert "not known" in b["verdict"]


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


async def test_what_one_proxy_lost_is_not_made_up_for_by_another_nor_by_another_window(api: Api) -> None:
    """Also where a forged total says that more came than was sent."""
    api.store.ledger(window(NOW, "a", received=51, missing=49), window(NOW, "b", received=60, missing=-60), window(NOW + MINUTE, "a"))
    found = await totals(api)
    assert (found["state"], found["lost"]) == ("lost", 49)
    assert "at a 49" in found["verdict"]


async def test_that_nobody_reported_is_not_that_nothing_was_lost(api: Api) -> None:
    found = await totals(api, group="proxy")
    assert (found["state"], found["verdict"], found["lost"], found["proxies"]) == ("nothing_reported", "nothing reported", 0, 0)
    assert "as_of" not in found


async def test_what_the_collector_itself_refused_or_could_not_read_is_lost(api: Api) -> None:
    api.store.ledger(
        window(NOW, "a", received=5, refused={"journal_full": 7, "share": 1}), window(NOW, "b", malformed={"dead_letter_decode": 2})
    )
    found = await totals(api)
    assert (found["lost"], found["refused"]) == (10, {"journal_full": 7, "share": 1, "total": 8})
    assert found["verdict"].startswith(
        "lost 10 (8 access log entries refused by the collector: journal full 7, share 1; "
        "2 messages unreadable: dead letter decode 2; at a 8, b 2)"
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"access_log_only": 16_442, "without_tap": 16_442}, "16442 without the tap"),
        ({"tap_only": 2407, "without_access_log": 2407}, "2407 without the access log"),
    ],
)
async def test_a_witness_that_was_expected_and_is_not_there_is_a_gap(api: Api, counts: dict[str, int], said: str) -> None:
    api.store.ledger(window(NOW - MINUTE, "a", received=5, **counts))
    found = await totals(api)
    assert (found["state"], found["lost"], found["gaps"]) == ("gaps", 0, max(counts.values()))
    assert found["verdict"] == f"nothing lost of what was announced; {max(counts.values())} gaps ({said})"


async def test_what_came_after_all_counts_for_the_window_that_missed_it(api: Api) -> None:
    """Whichever window told of it, also one behind the span."""
    late = window(NOW, "a", cured={"missing": {NOW - 3 * MINUTE: 4}, "without_access_log": {NOW - 3 * MINUTE: 1}})
    missed = window(NOW - 3 * MINUTE, "a", received=1, missing=5, without_access_log=2, tap_only=2)
    api.store.ledger(missed, late, window(NOW - 2 * MINUTE, "a", missing=7), window(NOW - 3 * MINUTE, "b", missing=1))
    for filters in ({}, {"until": "90s"}, {"until": "150s"}):
        found = await totals(api, **filters)
        assert (found["lost"], found["gaps"]) == (9 if found["windows"] > 2 else 2, 1), filters
        assert found["cured"] == {"missing": 4, "without_tap": 0, "without_access_log": 1}
    by_window = [(item["node"], item["lost"], item["gaps"]) for item in (await api.get("/v1/ledger")).json()["items"]]
    assert sorted(by_window) == [("a", 0, 0), ("a", 1, 1), ("a", 7, 0), ("b", 1, 0)]
    assert [item["lost"] for item in (await api.get("/v1/ledger", group="proxy")).json()["items"]] == [8, 1]


async def test_all_that_was_missing_and_came_is_nothing_lost(api: Api) -> None:
    api.store.ledger(window(NOW - MINUTE, "a", missing=3), window(NOW, "a", cured={"missing": {NOW - MINUTE: 3}}))
    assert (await totals(api, until="30s"))["verdict"] == "nothing lost; 3 came after all"


async def test_a_cure_of_a_window_that_is_not_kept_any_more_makes_up_for_no_other(api: Api) -> None:
    api.store.ledger(window(NOW, "a", missing=2, cured={"missing": {NOW - MINUTE: 5}}), window(NOW, "b", cured={"missing": {NOW: 2}}))
    assert (await totals(api))["lost"] == 2


async def test_two_senders_that_claim_one_node_are_two_proxies(api: Api) -> None:
    api.store.ledger(
        window(NOW, "a", sender=MORNING, received=2, missing=2),
        window(NOW, "a", sender=NOON, received=3, dropped={"queue_full": 1}),
        window(NOW + MINUTE, "a", sender=NOON, cured={"missing": {NOW: 2}}),
    )
    found = [item for n in (1, 9) for item in (await api.get("/v1/ledger", group="proxy", limit=n)).json()["items"]]
    assert [(item["sender"], item["lost"]) for item in found] == [(MORNING, 2), (MORNING, 2), (NOON, 1)]
    first = (await api.get("/v1/ledger", group="proxy", limit=1)).json()
    second = (await api.get("/v1/ledger", group="proxy", limit=1, cursor=first["next"])).json()
    assert (second["items"][0]["sender"], first["totals"]["proxies"], first["totals"]["lost"]) == (NOON, 2, 3)


async def test_when_the_collector_was_away_is_told_and_is_a_gap(api: Api) -> None:
    api.store.ledger(
        window(NOW - 2 * MINUTE, "a", received=5), away(NOW - MINUTE, NOW - MINUTE // 2), away(NOW - 90 * MINUTE, NOW - 80 * MINUTE)
    )
    page = (await api.get("/v1/ledger", since="10m", node="a")).json()
    found = page["totals"]
    assert found["away"] == [{"from": "2025-11-22T08:25:40.123456Z", "to": "2025-11-22T08:26:10.123456Z", "reason": "killed"}]
    assert (found["state"], found["gaps"], found["times_away"], found["proxies"]) == ("gaps", 1, 1, 1)
    assert "the collector was away once" in found["verdict"]
    assert [item["node"] for item in page["items"]] == ["a"], "no proxy is called collector"
    assert (await totals(api, since="85m", until="80m"))["gaps"] == 1, "a part of it lies in the span"
    assert (await totals(api, since="85m", until="80m"))["state"] == "nothing_reported"


async def test_an_item_does_not_say_that_nothing_was_lost_where_the_collector_was_away(api: Api) -> None:
    api.store.ledger(window(NOW, "a", received=5), window(NOW - 9 * MINUTE, "b", received=5), away(NOW, NOW + 1))
    for group in ("proxy", "window"):
        states = {item["node"]: item["state"] for item in (await api.get("/v1/ledger", group=group)).json()["items"]}
        assert states == {"a": "gaps", "b": "nothing_lost"}


async def test_the_verdict_says_up_to_when_it_speaks(api: Api) -> None:
    """The newest window is written when it has ended: of what came since nothing is known yet."""
    api.store.ledger(window(NOW - 3 * MINUTE, "a", received=5), window(NOW - 4 * MINUTE, "b", received=1))
    found = await totals(api, since="10m", node="b")
    assert found["as_of"] == "2025-11-22T08:24:40.123456Z"
    assert found["verdict"] == "nothing lost; as of 2025-11-22T08:24:40.123456Z"
    closed = await totals(api, since="10m", until="2m")
    assert (closed["verdict"], closed["as_of"]) == ("nothing lost", "2025-11-22T08:24:40.123456Z")


async def test_of_several_journals_the_verdict_speaks_as_far_as_the_one_that_is_most_behind(api: Api) -> None:
    ahead, behind = window(NOW - 2 * MINUTE, "a", received=5), window(NOW - 5 * MINUTE, "b", received=1)
    api.store.ledger(ahead, {**behind, "journal": "another"})
    assert (await totals(api))["as_of"] == "2025-11-22T08:22:40.123456Z"


async def test_numbers_beyond_64_bits_are_summed_and_told_as_the_largest(api: Api) -> None:
    api.store.ledger(*(window(NOW + n, "a", received=LARGEST, dropped={"queue_full": LARGEST * 4}) for n in range(3)))
    for group in ("proxy", "window"):
        answer = await api.get("/v1/ledger", group=group)
        assert answer.status_code == 200
        assert answer.json()["totals"]["lost"] == LARGEST
        assert answer.json()["totals"]["dropped"] == {"queue_full": LARGEST, "total": LARGEST}
    assert f"lost {3 * LARGEST} " in answer.json()["totals"]["verdict"]


async def test_the_proxies_that_lost_most_are_named_and_the_others_counted(api: Api) -> None:
    api.store.ledger(*(window(NOW, f"node-{n}", missing=n) for n in range(30)))
    assert "; at node-29 29, node-28 28, node-27 27 and 26 more proxies)" in (await totals(api))["verdict"]


async def test_late_arrivals_are_looked_up_a_few_at_a_time(store: Store) -> None:
    starts = [NOW - n * MINUTE for n in range(1, 9)]
    store.ledger(*(window(start, name, missing=3) for start in starts for name in "ab"))
    store.ledger(*(window(NOW + n, "a", cured={"missing": {start: 2}}) for n, start in enumerate(starts)))
    async with serving(store, Portions(cured_windows=2, cured_starts=1)) as api:
        found = (await api.get("/v1/ledger", group="proxy")).json()
    assert [item["lost"] for item in found["items"]] == [8, 24]
    assert found["totals"]["lost"] == 32


async def test_what_was_cured_is_looked_for_at_these_proxies_only_and_never_held_as_a_whole(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a start of windows there is one of every proxy."""
    sqlite_store.ledger(*(window(NOW, f"node-{n}", missing=2) for n in range(5)))
    sqlite_store.ledger(*(window(NOW + MINUTE, f"node-{n}", cured={"missing": {NOW: 1}}) for n in range(5)))
    asked = list[Any]()
    curable = ledger_queries.curable
    monkeypatch.setattr(ledger_queries, "curable", lambda *how: (asked.append(curable(*how)), asked[-1])[1])
    engine = sqlite_store.opened()
    async with engine.connect() as connection:
        with monkeypatch.context() as patched:
            patched.setattr(AsyncConnection, "execute", None)  # it would hold all rows
            found = await ledger_cures.by_proxy(connection, Sought(None, None, EVERYTHING), Span(), [("node-3", "")])
        rows = [(await connection.execute(statement)).all() for statement in asked]
    await engine.dispose()
    assert found == {("node-3", ""): {"missing": 1}}
    assert [[row.node for row in some] for some in rows] == [["node-3"]]
