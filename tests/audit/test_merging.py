"""Filters by marks find the same whether exchanges are in batches, in runs or in both, also while one becomes the other."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit import mark_queries
from collector.audit.mark_sources import Asked, candidates, sources_of
from collector.audit.marked import Bounds
from collector.audit.moments import LAST_US, first_id, past_id
from collector.audit.parameters import ExchangeQuery
from collector.store import postings
from collector.store.mark_runs import SPAN_BITS
from collector.store.merging import Merging, Sizes
from collector.store.schema import mark_ids, mark_pairs, mark_runs, marks
from collector.tasks import cancel
from tests.audit.rows import NOW, Store
from tests.audit.test_marks import FILTERS, HOUR, everything, filled, row
from tests.support.clocks import TurnedClock

LATER = NOW + 30 * 24 * HOUR  # all spans are over
SMALL = Sizes(batches=7, exchanges=6, least_batches=1, small=12, least_runs=2)
WHOLE = (first_id(0), past_id(LAST_US))
BOUNDS = Bounds(looked_at=2, before_index=2, candidates=7)
STREAMED = ({"policy": "default", "streamed": "true"}, lambda record: record["inference"]["streamed"])
WAYS = [(BOUNDS, 500), (Bounds(looked_at=2, before_index=2, at_once=8), 2)]


async def merged(engine: AsyncEngine, sizes: Sizes = SMALL, now_us: int = LATER, most: int = 1000) -> int:
    """How many steps there were to do."""
    merging, steps = Merging(engine, TurnedClock(now_us), sizes), 0
    while steps < most and await merging.step():
        steps += 1
    return steps


async def counts(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        return {
            table.name: int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
            for table in (marks, mark_runs, mark_pairs, mark_ids)
        }


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 4, 1000])
async def test_filters_find_the_same_however_far_it_has_come(store: Store, steps: int) -> None:
    rows = filled(store, 40)
    engine = store.opened()
    assert await merged(engine, most=steps)
    found = await counts(engine)
    assert bool(found["marks"]) == (steps < 1000)
    assert found["mark_runs"]
    async with engine.connect() as connection:
        for asked, check in FILTERS:
            expected = [one["id"] for one in rows if check(json.loads(one["data"]))]
            for order in ("desc", "asc"):
                query = ExchangeQuery.model_validate({**asked, "order": order})
                for bounds, limit in WAYS:
                    found_now = await everything(connection, query, bounds, limit)
                    assert found_now == (expected if order == "desc" else expected[::-1]), (asked, order, bounds)
    await engine.dispose()


class Disturbed:
    """A connection before each of whose statements a step is done, by chance."""

    def __init__(self, connection: Any, merging: Merging, chance: random.Random) -> None:
        self._connection, self._merging, self._chance = connection, merging, chance
        self.dialect = connection.dialect
        self.steps = 0

    async def execute(self, *what: Any) -> Any:
        if self._chance.random() < 0.4:
            self.steps += await self._merging.step()
        return await self._connection.execute(*what)


# Of the second, what all in a run have is asked for twice: a run may go between the two.
SEVERAL = [({"user": "u3"}, 20), ({"policy": "default", "streamed": "true"}, 20)]


@pytest.mark.slow
@pytest.mark.parametrize(("filters", "least"), SEVERAL)
@pytest.mark.parametrize("descending", [True, False])
async def test_nobody_is_missed_nor_told_twice_while_batches_become_runs(
    store: Store, descending: bool, filters: dict[str, str], least: int
) -> None:
    rows = filled(store, 40)
    engine = store.opened()
    query = ExchangeQuery.model_validate(filters)
    [check] = [one for asked, one in [*FILTERS, STREAMED] if asked == filters]
    expected = [one["id"] for one in rows if check(json.loads(one["data"]))]
    steps = 0
    for seed in range(14):
        store.transact(lambda connection: [connection.execute(delete(table)) for table in (marks, mark_runs, mark_pairs, mark_ids)])
        store.transact(lambda connection: [connection.execute(marks.insert(), one) for one in batches(rows)])
        async with engine.connect() as connection:
            merging = Merging(engine, TurnedClock(LATER), SMALL)
            for _ in range(seed):  # of more, runs become larger runs meanwhile
                await merging.step()
            disturbed: Any = Disturbed(connection, merging, random.Random(seed))
            found: list[str] = []
            asked = Asked(*WHOLE, descending)
            async for some in candidates(disturbed, asked, mark_queries.groups(query), await sources_of(disturbed, asked)):
                found += some
            steps += disturbed.steps
        assert found == sorted(found, reverse=descending)
        assert len(set(found)) == len(found)
        assert set(expected) <= set(found)
    assert steps > least
    await engine.dispose()


def batches(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = [one for row in rows for one in postings.postings([(row["id"], row["marks"])])]
    return [dict(zip(("bucket", "batch", "hashes", "told"), one, strict=True)) for one in made]


async def test_few_batches_of_a_span_that_is_not_over_stay_what_they_are(store: Store) -> None:
    rows = filled(store, 5)
    engine = store.opened()
    spans = {postings.bucket_of(one["id"]) >> SPAN_BITS for one in rows}
    assert len(spans) == 1
    usual = Sizes()
    assert await merged(engine, usual, NOW) == 0
    assert await merged(engine, usual._replace(least_batches=5), NOW) == 1
    assert await counts(engine) | {"mark_pairs": 0} == {"marks": 0, "mark_runs": 1, "mark_pairs": 0, "mark_ids": 1}
    await engine.dispose()


async def test_small_runs_of_a_span_become_one(store: Store) -> None:
    filled(store, 60)
    engine = store.opened()
    await merged(engine, Sizes(batches=3, least_batches=1), NOW)
    before = await counts(engine)
    await merged(engine)
    await merged(engine, Sizes())
    after = await counts(engine)
    assert after["mark_runs"] < before["mark_runs"] >= 10
    assert after["mark_ids"] == after["mark_runs"] <= 3
    await engine.dispose()


async def test_two_who_do_the_same_at_once_leave_each_exchange_there_once(store: Store) -> None:
    rows = filled(store, 30)
    engine = store.opened()
    both = [Merging(engine, TurnedClock(LATER), SMALL) for _ in range(2)]
    for _ in range(40):
        await asyncio.gather(*(merging.step() for merging in both))
    async with engine.connect() as connection:
        ids = b"".join((await connection.execute(select(mark_ids.c.ids))).scalars())
    assert sorted(postings.id_of(ids[at : at + 16]) for at in range(0, len(ids), 16)) == sorted(one["id"] for one in rows)
    await engine.dispose()


async def test_what_is_damaged_stays_and_the_rest_goes_on(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    rows = filled(store, 30)
    engine = store.opened()
    await merged(engine, Sizes(batches=3, least_batches=1), NOW)

    def damage(connection: Any) -> None:
        first = connection.execute(select(func.min(mark_runs.c.run))).scalar_one()
        connection.execute(update(mark_pairs).where(mark_pairs.c.run == first).values(told=b"abc"))

    store.transact(damage)
    store.exchanges(row(900, NOW), row(901, NOW))
    store.transact(lambda connection: connection.execute(update(marks).values(told=b"\x01\x00\x02abc")))
    store.exchanges(row(902, NOW - HOUR))
    with caplog.at_level(logging.ERROR):
        await merged(engine)
    assert {"a row of the index of marks is damaged", "of the index of marks is damaged"} <= {
        part for part in ("a row of the index of marks is damaged", "of the index of marks is damaged") if part in caplog.text
    }
    assert (await counts(engine))["marks"] == 2
    query = ExchangeQuery(user="u3")
    expected = {one["id"] for one in rows if json.loads(one["data"])["caller"]["user"] == "u3"}
    async with engine.connect() as connection:
        assert expected <= set(await everything(connection, query, BOUNDS, 500))
    await engine.dispose()


async def test_the_task_goes_on_after_a_store_that_did_not_answer(sqlite_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    filled(sqlite_store, 5)
    engine = sqlite_store.opened()
    sqlite_store.transact(lambda connection: connection.exec_driver_sql("ALTER TABLE marks_state RENAME TO hidden"))
    clock = TurnedClock(LATER)
    clock.longest_sleep = 0.01
    task = asyncio.create_task(Merging(engine, clock).run())
    while "filters by marks take longer" not in caplog.text:
        await asyncio.sleep(0.005)
    sqlite_store.transact(lambda connection: connection.exec_driver_sql("ALTER TABLE hidden RENAME TO marks_state"))
    while (await counts(engine))["marks"]:
        await asyncio.sleep(0.005)
    await cancel(task)
    await engine.dispose()
