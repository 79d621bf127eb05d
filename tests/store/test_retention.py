"""Retention on both stores: whole days go, with everything of theirs; nothing goes too early; a dry run only tells."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import delete, insert, select
from typer.testing import CliRunner

from collector.cli import app
from collector.clock import SystemClock
from collector.messages.event import Output, Place
from collector.settings import Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_engine, open_expiry
from collector.store.merging import Merging
from collector.store.migrate import migrate
from collector.store.partitions import TABLES, day_of
from collector.store.postings import postings
from collector.store.retention import Retention, first_kept
from collector.store.schema import mark_ids, mark_pairs, mark_runs, marks
from collector.tasks import cancel
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange, window
from tests.support.sinks import migrated

TODAY = NOW_US // DAY_US


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest) -> Sink:
    return migrated(request)


async def fill(settings: Sink, *ages: int, now_us: int = NOW_US) -> None:
    """An exchange with bodies and a ledger window at the beginning of the day so many days ago."""
    sink = open_sink(settings, TurnedClock(now_us))
    for age in ages:
        start = (now_us // DAY_US - age) * DAY_US
        outputs = [exchange(Place(1, 0), start, request=b"x", response=b"y"), window(Place(2, 0), start)]
        await sink.write(JOURNAL, outputs, Place(2, 0))
    await sink.close()


async def kept(settings: Sink) -> dict[str, list[int]]:
    """The days that are in each table."""
    engine = open_engine(settings)
    found = {}
    async with engine.connect() as connection:
        for table in TABLES[:-1]:  # no texts are written here: tests/audit/test_texts.py has those
            rows = await connection.exec_driver_sql(f"SELECT id FROM {table} ORDER BY id")
            found[table] = [TODAY - int(row.id[:8] + row.id[9:13], 16) // (DAY_US // 1000) for row in rows]
    await engine.dispose()
    return found


def test_a_day_goes_when_its_last_exchange_is_old_enough() -> None:
    noon = TODAY * DAY_US + DAY_US // 2
    assert first_kept(noon, 30) == TODAY - 30
    assert first_kept((TODAY + 1) * DAY_US - 1, 30) == TODAY - 30
    assert first_kept((TODAY + 1) * DAY_US, 30) == TODAY - 29


async def test_what_is_older_goes_from_all_tables_and_the_rest_stays(settings: Sink) -> None:
    await fill(settings, 0, 6, 7, 8, 30, 1000, 19_000)
    steps = [step async for step in open_expiry(settings).end(TODAY - 7)]
    assert steps
    assert await kept(settings) == {"exchanges": [7, 6, 0], "payloads": [7, 7, 6, 6, 0, 0], "ledger": [7, 6, 0]}


async def test_the_runs_of_the_index_of_marks_go_with_their_exchanges(settings: Sink) -> None:
    await fill(settings, 0, 6, 8, 30, 31)
    engine = open_engine(settings)
    async with engine.begin() as connection:
        await connection.execute(delete(marks))  # their own are as the sink made them, of whatever the records tell
        for age in (0, 6, 8, 30, 31):
            start_ms = (TODAY - age) * DAY_US // 1000
            digits = f"{start_ms:012x}"
            rows = postings([(f"{digits[:8]}-{digits[8:]}-7000-8000-{n:012x}", f"\ntrace:{n}\n") for n in range(200)])
            await connection.execute(insert(marks), [dict(zip(marks.columns.keys(), row, strict=True)) for row in rows])
    merging = Merging(engine, TurnedClock(NOW_US + 2 * DAY_US))
    while await merging.step():
        pass
    async for _ in open_expiry(settings).end(TODAY - 7):
        pass
    async with engine.connect() as connection:
        runs = (await connection.execute(select(mark_runs.c.run, mark_runs.c.low).order_by(mark_runs.c.low))).all()
        pairs = set((await connection.execute(select(mark_pairs.c.run))).scalars())
        parts = set((await connection.execute(select(mark_ids.c.part))).scalars())
    await engine.dispose()
    assert [TODAY - day_of(row.low) for row in runs] == [6, 0]
    assert pairs == {part >> 8 for part in parts} == {row.run for row in runs}


async def test_a_dry_run_only_tells(settings: Sink) -> None:
    await fill(settings, 0, 8, 1000)
    before = await kept(settings)
    assert [step async for step in open_expiry(settings).end(TODAY - 7, dry_run=True)]
    assert await kept(settings) == before


async def test_nothing_to_do_is_nothing_done(settings: Sink) -> None:
    await fill(settings, 0)
    assert [step async for step in open_expiry(settings).end(TODAY - 7)] == []


async def test_the_sink_writes_on_while_old_days_go(settings: Sink) -> None:
    await fill(settings, *range(30))
    sink = open_sink(settings, TurnedClock(NOW_US))

    async def write() -> None:
        for n in range(40):
            await sink.write("other", [exchange(Place(n, 0), NOW_US, salt=str(n))], Place(n, 0))

    async def end() -> None:
        async for _ in open_expiry(settings).end(TODAY - 7):
            pass

    await asyncio.gather(write(), end())
    await sink.close()
    assert (await kept(settings))["exchanges"].count(0) == 41


async def test_an_exchange_that_comes_after_its_day_was_dropped_is_stored(settings: Sink) -> None:
    await fill(settings, 0, 9)
    sink = open_sink(settings, TurnedClock(NOW_US))
    await sink.write(JOURNAL, [exchange(Place(3, 0), NOW_US - 9 * DAY_US, salt="first")], Place(3, 0))
    async for _ in open_expiry(settings).end(TODAY - 7):
        pass
    await sink.write(JOURNAL, [exchange(Place(4, 0), NOW_US - 9 * DAY_US, salt="late")], Place(4, 0))
    await sink.close()
    assert (await kept(settings))["exchanges"] == [9, 0]


async def test_the_schedule_looks_at_once_and_survives_a_store_that_is_down(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    away = Sink(url=f"postgresql://x@/x?host={tmp_path_factory.mktemp('none')}")
    with caplog.at_level(logging.WARNING):
        await Retention(open_expiry(away), 30, TurnedClock(NOW_US)).once()
    assert "could not be deleted now" in caplog.text


async def test_the_schedule_deletes(settings: Sink) -> None:
    await fill(settings, 0, 31)
    running = asyncio.create_task(Retention(open_expiry(settings), 30, TurnedClock(NOW_US)).run())
    while (await kept(settings))["ledger"] != [0]:
        await asyncio.sleep(0.01)
    await cancel(running)


def test_the_command_tells_what_it_deletes(settings: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_SINK__URL", settings.url)
    now_us = SystemClock().now_us()
    asyncio.run(fill(settings, 0, 40, now_us=now_us))
    dry = CliRunner().invoke(app, ["retention", "--keep", "4w", "--dry-run"])
    assert dry.exit_code == 0
    assert "would delete" in dry.output
    real = CliRunner().invoke(app, ["retention", "--keep", "28d"])
    assert real.output.replace("deleted", "would delete") == dry.output
    assert CliRunner().invoke(app, ["retention", "--keep", "28d"]).output == "Nothing is older than 28 days.\n"


@pytest.mark.parametrize("keep", ["0d", "30", "1y", "-3d", ""])
def test_the_command_refuses_what_it_does_not_understand(keep: str) -> None:
    assert CliRunner().invoke(app, ["retention", f"--keep={keep}"]).exit_code == 2


def far(start_us: int, position: int, salt: str) -> Output:
    return exchange(Place(position, 0), start_us, salt=salt, request=b"x", response=b"y")


async def test_a_row_dated_ahead_of_its_time_goes_with_what_was_written_after_it(settings: Sink) -> None:
    await asyncio.to_thread(migrate, settings.url)
    sink, day = open_sink(settings, TurnedClock(NOW_US)), DAY_US
    ahead, ahead_later, ahead_of_another = NOW_US + 365 * day, NOW_US + 366 * day, NOW_US + 367 * day
    old, new = NOW_US - 20 * day, NOW_US
    outputs = [far(ahead, 1, "a"), window(Place(2, 0), ahead), far(old, 3, "b"), window(Place(4, 0), old)]
    outputs += [far(ahead_later, 5, "c"), window(Place(6, 0), ahead_later), far(new, 7, "d"), window(Place(8, 0), new)]
    await sink.write(JOURNAL, outputs, Place(8, 0))
    await sink.write("another", [far(ahead_of_another, 1, "e")], Place(1, 0))
    await sink.close()
    assert [step async for step in open_expiry(settings).end(TODAY - 7)]
    assert await kept(settings) == {"exchanges": [0, -366, -367], "payloads": [0, 0, -366, -366, -367, -367], "ledger": [0, -366]}


async def test_a_clock_that_leaps_ahead_empties_nothing_until_it_has_stood_for_a_day(
    settings: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(settings, 0, 20)
    clock = TurnedClock(NOW_US)
    retention = Retention(open_expiry(settings), 30, clock)
    clock.step(365 * DAY_US)
    await retention.once()
    assert "leapt ahead" in caplog.text
    clock.now += DAY_US - 1
    await retention.once()
    assert (await kept(settings))["exchanges"] == [20, 0]
    clock.now += 1
    await retention.once()
    assert (await kept(settings))["exchanges"] == []


async def test_a_clock_that_is_wrong_from_the_start_empties_nothing_until_it_has_stood_for_a_day(settings: Sink) -> None:
    """The machine began with 2038, and was set right a minute later."""
    await fill(settings, 0, 20)
    clock = TurnedClock(NOW_US + 4000 * DAY_US)
    retention = Retention(open_expiry(settings), 30, clock)
    await retention.once()
    clock.step(-4000 * DAY_US)
    await retention.once()
    assert (await kept(settings))["exchanges"] == [20, 0]
    clock.now += 12 * DAY_US
    await retention.once()
    assert (await kept(settings))["exchanges"] == [0]
