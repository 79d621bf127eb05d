"""GET /v1/ledger/map: by proxy and stretch of time what /v1/ledger tells in sums, and nothing of what somebody may not see."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from collector.access.looker import Reach, Right
from collector.audit.pages import PORTIONS, Portions
from tests.audit.conftest import Api, serving
from tests.audit.lookers import looker, seen_by
from tests.audit.rows import MINUTE, NOW, Store, away, window

HOUR = 60 * MINUTE


async def drawn(api: Api, **asked: str | int) -> dict[str, Any]:
    answer = await api.get("/v1/ledger/map", **asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def many() -> list[dict[str, Any]]:
    """Three proxies over two hours, with losses and gaps of many kinds."""
    return [
        window(
            NOW - n * 7 * MINUTE,
            f"node-{n % 3}",
            {"buffer_full": n % 4},
            received=n + 1,
            missing=n % 2,
            without_tap=int(n % 5 == 0),
            both=n,
        )
        for n in range(1, 17)
    ]  # fmt: skip


async def test_its_cells_come_to_what_the_ledger_sums(api: Api) -> None:
    api.store.ledger(*many())
    found = await drawn(api, since="2h", steps=13)
    items = (await api.get("/v1/ledger", since="2h", group="proxy")).json()["items"]
    by_proxy = {item["node"]: item for item in items}
    assert {one["node"] for one in found["items"]} == set(by_proxy)
    for one in found["items"]:
        summed: Counter[str] = Counter()
        for cell in one["cells"]:
            summed.update({name: cell.get(name, 0) for name in ("announced", "received", "lost", "gaps")})
        told = by_proxy[one["node"]]
        assert {name: summed[name] for name in ("announced", "received", "lost", "gaps")} == {
            name: told[name] for name in ("announced", "received", "lost", "gaps")
        }
        assert (one["lost"], one["gaps"]) == (told["lost"], told["gaps"])


async def test_a_cell_stands_where_its_window_began(api: Api) -> None:
    api.store.ledger(window(NOW - 30 * MINUTE, received=3), window(NOW - 29 * MINUTE, received=4), window(NOW - MINUTE, received=5))
    found = await drawn(api, since="1h", steps=60)
    assert (found["steps"], found["step_seconds"]) == (60, 60.0)
    assert [(cell["start"], cell["received"]) for cell in found["items"][0]["cells"]] == [(30, 3), (31, 4), (59, 5)]


async def test_a_stretch_without_windows_is_absent_and_not_well(api: Api) -> None:
    api.store.ledger(window(NOW - 30 * MINUTE, received=3))
    [one] = (await drawn(api, since="1h", steps=12))["items"]
    assert [cell["start"] for cell in one["cells"]] == [6]


async def test_who_lost_most_comes_first_and_the_rest_is_counted(api: Api) -> None:
    rows = [window(NOW - MINUTE, f"node-{n}", {"buffer_full": n}, received=1) for n in range(1, 6)]
    api.store.ledger(*rows)
    found = await drawn(api, limit=2)
    assert [one["node"] for one in found["items"]] == ["node-5", "node-4"]
    assert found["proxies"] == 5


async def test_when_the_collector_was_away_is_told_beside_the_cells(api: Api) -> None:
    api.store.ledger(window(NOW - 30 * MINUTE, received=3), away(NOW - 20 * MINUTE, NOW - 19 * MINUTE))
    found = await drawn(api, since="1h")
    assert [one["reason"] for one in found["away"]] == ["killed"]
    assert "collector" not in {one["node"] for one in found["items"]}


async def test_what_lies_outside_the_span_is_in_no_cell(api: Api) -> None:
    api.store.ledger(window(NOW - 3 * HOUR, received=3), window(NOW - MINUTE, received=5))
    [one] = (await drawn(api, since="1h"))["items"]
    assert sum(cell["received"] for cell in one["cells"]) == 5


@pytest.mark.slow
async def test_more_proxies_than_are_held_are_said_to_be_left_out(api: Api) -> None:
    api.store.ledger(*(window(NOW - MINUTE, f"node-{number}", received=1) for number in range(PORTIONS.map_proxies)))
    assert "truncated" not in await drawn(api, since="2h")
    api.store.ledger(window(NOW - MINUTE, "one-more", received=1))
    found = await drawn(api, since="2h")
    assert (found["truncated"], found["proxies"]) == (True, PORTIONS.map_proxies)


async def test_a_step_too_many_or_a_name_too_much_is_refused(api: Api) -> None:
    for asked in ({"steps": 501}, {"steps": 0}, {"limit": 1001}, {"group": "proxy"}, {"since": "yesterday"}):
        assert (await api.get("/v1/ledger/map", **asked)).status_code == 400, asked


async def test_proxies_of_other_namespaces_are_not_there_at_all(api: Api) -> None:
    api.store.ledger(window(NOW - MINUTE, received=3))
    for namespaces, count in ((("prod",), 1), (("test",), 0)):
        async with seen_by(api.store, looker(Right.LEDGER, reach=Reach(namespaces=frozenset(namespaces)))) as client:
            found = (await client.get("/v1/ledger/map")).json()
        assert (found["proxies"], len(found["items"])) == (count, count)
    async with seen_by(api.store, looker(Right.EXCHANGES)) as client:
        assert (await client.get("/v1/ledger/map")).status_code == 403


async def test_what_came_after_all_is_not_lost_where_proxies_are_left_out_either(store: Store) -> None:
    start = NOW - 2 * MINUTE
    cured = window(NOW - MINUTE, "a", cured={"missing": {start: 3}})
    store.ledger(window(start, "a", missing=3), cured, window(NOW - MINUTE, "b", received=1))
    async with serving(store, Portions(map_proxies=1)) as api:
        found = await drawn(api, since="1h")
    assert (found["truncated"], found["items"][0]["lost"]) == (True, 0)
