"""Losses: a sentence first, then where and when, then what to do."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, insert

from collector.store.schema import ledger
from collector.views.api import Api
from tests.audit.rows import MINUTE, away, window
from tests.views.conftest import World

pytestmark = pytest.mark.asyncio


async def put(world: World, *rows: dict[str, object]) -> None:
    engine = create_engine(f"sqlite:///{world.path}")
    with engine.begin() as connection:
        connection.execute(insert(ledger), list(rows))
    engine.dispose()


def cells(page: object) -> list[str]:
    return [str(found["class"]).split()[1] for tag, found in page.tags if tag == "rect" and str(found.get("class", "")).startswith("cell")]  # type: ignore[attr-defined]


async def test_where_nothing_was_lost_the_page_says_so_and_so_does_every_other(world: World) -> None:
    await put(world, *(window(world.clock.us - number * MINUTE, received=5, both=5) for number in range(2, 40)))
    page = await world.see("/losses")
    assert "Nothing was lost." in page.text
    assert set(cells(page)) == {"good", "none"}
    assert "nothing lost, last 24 h" in (await world.see("/")).text


async def test_a_loss_is_a_red_cell_at_its_time_and_a_line_that_says_what_to_do(world: World) -> None:
    rows = [window(world.clock.us - number * MINUTE, received=5, both=5) for number in range(2, 60)]
    rows[20] = window(world.clock.us - 22 * MINUTE, {"buffer_full": 7} and rows[20]["node"], {"buffer_full": 7}, received=5, both=5)
    await put(world, *rows)
    page = await world.see("/losses?since=1h")
    assert cells(page).count("bad") == 1
    assert "7 dropped by the tap" in page.text
    assert "buffer full 7" in page.text
    assert "raise queue_bytes" in page.text
    assert "7 lost, last 24 h" in page.text


async def test_a_time_when_the_collector_was_away_is_no_green_cell(world: World) -> None:
    now = world.clock.us
    rows = [window(now - number * MINUTE, received=5, both=5) for number in range(2, 60)]
    await put(world, *rows, away(now - 30 * MINUTE, now - 29 * MINUTE))
    page = await world.see("/losses?since=1h")
    assert "gap" in cells(page)
    assert "The collector was away from" in page.text


async def test_where_no_proxy_reported_nothing_is_called_well(world: World) -> None:
    page = await world.see("/losses")
    assert "Nothing was reported, so nothing is known." in page.text
    assert "good" not in cells(page)
    assert "nothing reported, last 24 h" in page.text


async def test_a_loss_behind_the_ledger_s_first_page_is_told(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(Api, "__init__", lambda self, app, asking, _, init=Api.__init__: init(self, app, asking, 1))
    good = window(world.clock.us - 3 * MINUTE, "sidecar~10.0.0.1~a-0.demo~x", received=5, both=5)
    bad = window(world.clock.us - 2 * MINUTE, "sidecar~10.0.0.2~z-0.demo~x", {"buffer_full": 7}, received=5, both=5)
    await put(world, good)
    await put(world, bad)
    assert "7 records were lost at z-0." in (await world.see("/losses?since=1h")).text
