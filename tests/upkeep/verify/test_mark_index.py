"""`meshscribe verify` tells whom the index of marks does not name, and its repair makes them findable again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.marked import Bounds
from collector.audit.moments import Span
from collector.audit.parameters import ExchangeQuery
from collector.messages.marks import NONE
from collector.store.merging import Merging, Sizes
from collector.store.schema import exchanges, mark_ids, mark_pairs, mark_runs, marks
from collector.upkeep.verify import Finding
from collector.upkeep.verify.mark_index import MarkIndex
from tests.audit.conftest import sqlite_store as sqlite_store
from tests.audit.conftest import store as store
from tests.audit.rows import NOW, Store
from tests.audit.test_marks import HOUR, everything, filled, row
from tests.support.clocks import TurnedClock

ALL = Span()


async def merged(engine: AsyncEngine, **sizes: int) -> None:
    merging = Merging(engine, TurnedClock(NOW + 30 * 24 * HOUR), Sizes(**sizes))
    while await merging.step():
        pass


async def looked(engine: AsyncEngine, *, repair: bool = False, span: Span = ALL) -> Finding:
    [finding] = await MarkIndex(engine, span, repair=repair).look()
    return finding


@pytest.mark.parametrize("merge", ["nothing", "some", "all"])
async def test_a_sound_index_names_all(store: Store, merge: str) -> None:
    rows = filled(store, 30)
    engine = store.opened()
    if merge != "nothing":
        await merged(engine, batches=4, least_batches=1, small=1 if merge == "some" else 100)
    if merge == "some":
        store.exchanges(row(500, NOW), row(501, NOW - HOUR))
    said = []
    [finding] = await MarkIndex(engine, ALL, at_once=7).look(said.append)
    number = len(rows) + 2 * (merge == "some")
    assert (finding.missing, finding.said) == (0, f"{number} exchanges")
    assert said == [*range(7, number, 7), number]
    half = await looked(engine, span=Span(NOW - 10 * HOUR, NOW - 5 * HOUR))
    assert half.ok
    assert 8 <= int(half.said.split()[0]) <= 12
    await engine.dispose()


async def test_what_is_stored_meanwhile_is_not_missed(store: Store) -> None:
    """The bucket that was read for the first exchanges has more by the time of the next."""
    store.exchanges(*(row(number, NOW + number * 1000) for number in range(14)))
    engine, new = store.opened(), iter(range(100, 200))

    def comes(_: int) -> None:
        if (number := next(new)) < 105:
            store.exchanges(row(number, NOW + number * 1000))

    [finding] = await MarkIndex(engine, ALL, at_once=7).look(comes)
    assert (finding.missing, finding.said) == (0, "19 exchanges")
    await engine.dispose()


async def test_what_lies_between_far_dates_costs_nothing(store: Store) -> None:
    """Millions of buckets, of which three are there."""
    far = 200_000_000_000_000_000  # µs: the year 8307
    store.exchanges(row(1, NOW), row(2, NOW - 4000 * 24 * HOUR), row(3, far))
    engine = store.opened()
    async with asyncio.timeout(20):
        assert (await looked(engine)).said == "3 exchanges"
    await engine.dispose()


async def test_a_damaged_id_does_not_end_the_look(sqlite_store: Store) -> None:
    rows = [row(number, NOW + number * 1000) for number in range(5)]
    sqlite_store.exchanges(*rows)
    sqlite_store.transact(
        lambda connection: connection.execute(update(exchanges).where(exchanges.c.id == rows[2]["id"]).values(id="x" * 36))
    )
    engine = sqlite_store.opened()
    assert (await looked(engine)).ok
    await engine.dispose()


def gone(connection: Any) -> None:
    connection.execute(delete(marks))


def damaged_batches(connection: Any) -> None:
    connection.execute(update(marks).values(told=b"\x01\x00"))


def another_mark(connection: Any) -> None:
    """A bit of a hash is another."""
    for table, column in ((mark_pairs, mark_pairs.c.told), (marks, marks.c.told)):
        for found in connection.execute(select(table)).all():
            data = bytearray(getattr(found, column.name))
            data[-1 if table is marks else 0] ^= 1
            of = [table.c[name] == getattr(found, name) for name in [column.name for column in table.primary_key]]
            connection.execute(update(table).where(*of).values({column.name: bytes(data)}))


def another_id(connection: Any) -> None:
    for found in connection.execute(select(mark_ids)).all():
        data = bytearray(found.ids)
        data[15] ^= 1
        connection.execute(update(mark_ids).where(mark_ids.c.part == found.part).values(ids=bytes(data)))


def unreadable_run(connection: Any) -> None:
    first = connection.execute(select(func.min(mark_pairs.c.first))).scalar_one()
    connection.execute(update(mark_pairs).where(mark_pairs.c.first == first).values(told=b"abc"))


@pytest.mark.parametrize(
    ("damage", "merge"),
    [(gone, False), (damaged_batches, False), (another_mark, False), (another_mark, True), (another_id, True), (unreadable_run, True)],
)
async def test_who_is_not_named_is_told_and_named_again(store: Store, damage: Any, merge: bool) -> None:
    rows = filled(store, 30)
    engine = store.opened()
    if merge:
        await merged(engine)
    store.transact(damage)
    finding = await looked(engine)
    assert not finding.ok
    assert "does not name" in finding.said
    assert "verify --repair" in finding.said
    assert (await looked(engine, repair=True)).ok
    assert (await looked(engine)).ok
    await merged(engine)
    assert (await looked(engine)).ok
    async with engine.connect() as connection:
        bounds = Bounds(looked_at=1, before_index=1, candidates=7)
        for number, one in ((3, rows[3]), (11, rows[11])):
            wanted = one["marks"].split("session:")[1].split("\n")[0]
            assert await everything(connection, ExchangeQuery(session=wanted), bounds, 10) == [one["id"]], number
    await engine.dispose()


async def test_exchanges_without_marks_and_of_older_versions_are_no_loss(store: Store) -> None:
    store.exchanges({**row(1, NOW), "marks": None}, {**row(2, NOW), "marks": NONE}, row(3, NOW))
    engine = store.opened()
    finding = await looked(engine)
    assert finding.ok
    assert finding.said == "1 exchanges, 1 more of an older version have no marks yet (`meshscribe marks`)"
    assert (await looked(engine, span=Span(NOW + HOUR, None))).said == "0 exchanges"
    async with engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(exchanges))).scalar_one() == 3
        assert (await connection.execute(select(func.count()).select_from(mark_runs))).scalar_one() == 0
    await engine.dispose()
