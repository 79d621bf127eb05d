"""Sums of usage and time: what an older version stored is counted, and what retention has deleted stays counted, once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from collector.messages.event import Place
from collector.settings import Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_engine, open_expiry
from collector.store.migrate import migrate
from collector.store.retention import UsageExpiry
from collector.store.schema import usage_days, usage_hours, usage_keys
from collector.store.usage_book import AS_USUAL
from collector.store.usage_counting import BackgroundCount
from collector.store.usage_recount import ALL, Recount
from tests.audit.test_usage import told
from tests.store.test_usage_sums import output
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US
from tests.support.sinks import migrated
from tests.support.sql import rows

TODAY = NOW_US // DAY_US


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest) -> Sink:
    return migrated(request)


async def write(settings: Sink, *records: dict[str, Any]) -> None:
    sink = open_sink(settings, TurnedClock(NOW_US))
    await sink.resend(JOURNAL, [output(of, Place(n, 0)) for n, of in enumerate(records, 1)])
    await sink.close()


async def run(settings: Sink, *statements: str) -> None:
    engine = open_engine(settings)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def summed(settings: Sink) -> list[list[int]]:
    """(calls, late, output) of each day, the oldest first; hours say the same."""
    by_day, by_hour = dict[int, list[int]](), dict[int, list[int]]()
    for table, found in ((usage_days, by_day), (usage_hours, by_hour)):
        for row in await rows(settings, select(table)):
            sums = found.setdefault(row.day if table is usage_days else row.hour // 24, [0, 0, 0])
            found[row.day if table is usage_days else row.hour // 24] = [
                one + other for one, other in zip(sums, (row.calls, row.late, row.output), strict=True)
            ]
    assert by_day == by_hour
    return [sums for _, sums in sorted(by_day.items())]


OLDER = (
    "UPDATE exchanges SET billable = NULL, usage = NULL, usage_key = NULL, consumer = NULL, protocol = NULL",
    "DELETE FROM usage_hours",
    "DELETE FROM usage_days",
    "DELETE FROM usage_keys",
    f"UPDATE usage_state SET uncounted = '{ALL}'",
)


async def test_what_an_older_version_stored_is_counted_beside_what_comes(settings: Sink) -> None:
    calls = [told(n, at=NOW_US - n % 3 * DAY_US, classes={"output": 1}, consumer="c") for n in range(600)]
    revised = told(1, at=NOW_US - DAY_US, revision=1, classes={"output": 1000})
    await write(settings, *calls)
    await run(
        settings, *OLDER, "UPDATE exchanges SET data = '{' WHERE id = (SELECT min(id) FROM exchanges)".replace("'{'", _bytes(settings))
    )
    await write(settings, told(601, classes={"output": 1}), revised)
    engine = open_engine(settings)
    counting = BackgroundCount(engine, AS_USUAL, TurnedClock(NOW_US))
    await counting.run()
    await engine.dispose()
    assert all(part.ok for part in counting.components())
    assert await summed(settings) == [[199, 0, 199], [200, 0, 1199], [201, 0, 201]]
    [state] = await rows(settings, text("SELECT uncounted FROM usage_state"))
    assert state.uncounted is None


def _bytes(settings: Sink) -> str:
    return "x'7b'" if settings.url.startswith("sqlite") else "'{'::bytea"


async def test_sums_outlive_exchanges_and_a_replay_counts_nothing_twice(settings: Sink) -> None:
    calls = [told(n, at=NOW_US - n * DAY_US, classes={"output": 10**n}) for n in range(3)]
    await write(settings, *calls)
    [_ async for _ in open_expiry(settings).end(TODAY - 1)]
    assert await summed(settings) == [[1, 0, 100], [1, 0, 10], [1, 0, 1]]
    await write(settings, *calls)
    revised = told(2, at=NOW_US - 2 * DAY_US, revision=1, classes={"output": 7})
    await write(settings, revised, revised)
    assert await summed(settings) == [[1, 1, 100], [1, 0, 10], [1, 0, 1]]


async def test_a_revision_of_a_call_whose_day_is_ended_changes_nothing_and_is_no_call_that_came_late(settings: Sink) -> None:
    """Its exchange is still there: retention was ended in the middle of its work, or waits for a relay."""
    then = NOW_US - 2 * DAY_US
    await write(settings, told(1, at=then, classes={"output": 100}), told(2, at=NOW_US, classes={"output": 1}))
    await run(settings, f"UPDATE usage_state SET ended = {TODAY}")
    await write(settings, told(1, at=then, revision=1, classes={"output": 7}), told(2, at=NOW_US, revision=1, classes={"output": 5}))
    assert await summed(settings) == [[1, 0, 100], [1, 0, 5]]
    await write(settings, *(told(3, at=then, revision=n, classes={"output": 3}) for n in range(2)))
    await write(settings, told(3, at=then, revision=2, classes={"output": 3}))
    assert await summed(settings) == [[1, 1, 100], [1, 0, 5]]


async def test_a_recount_leaves_the_sums_of_ended_days_as_they_are(settings: Sink) -> None:
    """Retention ends days before it deletes what they hold, and may be stopped in between."""
    await write(settings, *(told(n, at=NOW_US - n * DAY_US, classes={"output": 10**n}) for n in range(3)))
    await run(settings, f"UPDATE usage_state SET ended = {TODAY - 1}")
    engine = open_engine(settings)
    recount, before = Recount(engine, AS_USUAL), ALL
    while (step := await recount.step(before, new_only=False)) is not None:
        before = step.oldest
    await engine.dispose()
    assert await summed(settings) == [[1, 0, 100], [1, 0, 10], [1, 0, 1]]


async def test_sums_end_when_their_own_time_is_over(settings: Sink) -> None:
    await write(settings, *(told(n, at=NOW_US - n * DAY_US, classes={"output": 10**n}, model=f"m{n}") for n in range(3)))
    assert [step.rows async for step in UsageExpiry(open_expiry(settings)).end(TODAY - 1)] == [2]
    assert await summed(settings) == [[1, 0, 10], [1, 0, 1]]
    assert {row.model for row in await rows(settings, select(usage_keys))} == {"m0", "m1"}
    assert [step async for step in UsageExpiry(open_expiry(settings)).end(TODAY - 1)] == []


async def test_several_writers_of_the_same_keys_do_not_stop_each_other(settings: Sink) -> None:
    sinks = [open_sink(settings, TurnedClock(NOW_US)) for _ in range(4)]
    made = [[told(n, classes={"output": 1}, model=f"m{n % 7}") for n in range(start, start + 60)] for start in range(0, 240, 60)]

    async def work(number: int) -> None:
        for start in range(0, 60, 10):
            some = [output(of, Place(n, 0)) for n, of in enumerate(made[number][start : start + 10], start)]
            await sinks[number].write(f"j{number}", some[::-1] if number % 2 else some, Place(start, 0))

    await asyncio.gather(*(work(number) for number in range(4)))
    for sink in sinks:
        await sink.close()
    assert sum(row.calls for row in await rows(settings, select(usage_hours))) == 240


def test_a_migrated_store_says_what_is_not_counted_yet(tmp_path: Path) -> None:
    """A new one has nothing that is not."""
    path = tmp_path / "events.db"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, ended, uncounted FROM usage_state").fetchall() == [(1, 0, None)]
