"""Day partitions: made ahead, on demand, without stopping anyone; strays and leftovers come right; every look-up reads one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from collector.describe.identity import event_id
from collector.messages.event import Place
from collector.sinks.postgres import PostgresSink
from collector.store import partitions
from collector.store.partitions import TABLES, day_of, edge, name
from collector.store.postgres_days import AHEAD_DAYS, BEHIND_DAYS
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange, identity, window
from tests.support.postgres import Database

TODAY = NOW_US // DAY_US


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await database.server.connect("test", lock_timeout="5s")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def sink(database: Database) -> AsyncIterator[PostgresSink]:
    made = PostgresSink(database.server, TurnedClock(NOW_US))
    yield made
    await made.close()


async def rows(connection: asyncpg.Connection, table: str) -> int:
    found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
    return found


def test_edges_part_the_ids_of_days() -> None:
    last, first = identity(DAY_US * TODAY - 1), identity(DAY_US * TODAY)
    assert last < edge(TODAY) <= first
    assert (day_of(last), day_of(first)) == (TODAY - 1, TODAY)


async def test_some_days_are_made_ahead(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    await sink.write(JOURNAL, [], Place(1, 0))
    assert set(await partitions.days(connection)) == set(range(TODAY, TODAY + AHEAD_DAYS + 1))


async def test_a_batch_brings_the_days_that_it_needs(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    start = NOW_US - 30 * DAY_US
    await sink.write(JOURNAL, [exchange(Place(1, 0), start, request=b"x", response=b"y"), window(Place(2, 0), start)], Place(2, 0))
    assert [await rows(connection, name(table, TODAY - 30)) for table in TABLES] == [1, 2, 1, 0]
    assert [await rows(connection, f"{table}_default") for table in TABLES] == [0, 0, 0, 0]


async def test_a_clock_gone_wrong_makes_no_tables(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    starts = [0, NOW_US - (BEHIND_DAYS + 1) * DAY_US, NOW_US + (AHEAD_DAYS + 1) * DAY_US, 4_102_444_800_000_000]
    await sink.write(JOURNAL, [exchange(Place(n, 0), start, request=b"x") for n, start in enumerate(starts)], Place(4, 0))
    assert await rows(connection, "exchanges_default") == await rows(connection, "payloads_default") == len(starts)
    assert len(await partitions.days(connection)) == AHEAD_DAYS + 1


async def test_strays_move_to_their_day_when_it_comes(database: Database, sink: PostgresSink, connection: asyncpg.Connection) -> None:
    start = NOW_US + 9 * DAY_US
    await sink.write(JOURNAL, [exchange(Place(1, 0), start, request=b"x")], Place(1, 0))
    assert await rows(connection, "exchanges_default") == 1
    later = PostgresSink(database.server, TurnedClock(start))
    await later.write(JOURNAL, [], Place(2, 0))
    await later.close()
    assert await rows(connection, "exchanges_default") == 0
    assert await rows(connection, name("exchanges", TODAY + 9)) == await rows(connection, name("payloads", TODAY + 9)) == 1


async def test_attaching_does_not_look_through_the_default_partition(sink: PostgresSink, database: Database) -> None:
    await sink.write(JOURNAL, [exchange(Place(1, 0), 0)], Place(1, 0))
    connection = await database.server.connect("test", client_min_messages="debug1")
    told: list[str] = []
    connection.add_log_listener(lambda _, message: told.append(str(message)))
    await partitions.create(connection, [TODAY + 20])
    await connection.close()
    implied = [line for line in told if "default partition" in line and "is implied by existing constraints" in line]
    assert len(implied) == len(TABLES)


async def test_making_days_does_not_wait_for_writers_nor_they_for_it(
    sink: PostgresSink, connection: asyncpg.Connection, database: Database
) -> None:
    await sink.write(JOURNAL, [], Place(1, 0))
    writer = await database.server.connect("test")
    begun = writer.transaction()
    await begun.start()
    await writer.execute("INSERT INTO places VALUES ('x', 1, 1)")
    await writer.execute(f"DELETE FROM exchanges WHERE id >= '{edge(TODAY)}' AND id < '{edge(TODAY + 1)}'")  # its lock on the table stays
    assert TODAY + 10 in await partitions.create(connection, [TODAY + 10])
    await begun.rollback()
    await writer.close()


async def test_what_a_crash_left_half_made_is_finished(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    child, low, high = name("exchanges", TODAY), edge(TODAY), edge(TODAY + 1)
    await connection.execute(f"CREATE TABLE {child} (LIKE exchanges INCLUDING ALL)")
    await connection.execute(f"ALTER TABLE exchanges_default ADD CONSTRAINT not_{child} CHECK (id < '{low}' OR id >= '{high}') NOT VALID")
    await sink.write(JOURNAL, [exchange(Place(1, 0))], Place(1, 0))
    assert await rows(connection, child) == 1
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'not\\_%'") == 0


async def test_a_table_that_somebody_detached_is_left_alone(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    await sink.write(JOURNAL, [exchange(Place(1, 0))], Place(1, 0))
    kept = name("exchanges", TODAY)
    await connection.execute(f"ALTER TABLE exchanges DETACH PARTITION {kept}")
    await sink.close()
    again = PostgresSink(sink._server, TurnedClock(NOW_US))
    await again.write(JOURNAL, [exchange(Place(2, 0), salt="late")], Place(2, 0))
    await again.close()
    assert await rows(connection, kept) == await rows(connection, "exchanges_default") == 1


async def test_four_writers_that_start_at_once_make_each_day_once(database: Database, connection: asyncpg.Connection) -> None:
    sinks = [PostgresSink(database.server, TurnedClock(NOW_US)) for _ in range(4)]
    writes = [one.write(f"journal-{n}", [exchange(Place(1, 0), salt=str(n))], Place(1, 0)) for n, one in enumerate(sinks)]
    await asyncio.gather(*writes)
    for one in sinks:
        await one.close()
    assert await rows(connection, name("exchanges", TODAY)) == 4
    assert await rows(connection, "exchanges_default") == 0


async def test_a_day_that_cannot_be_made_now_fails_no_batch(database: Database, sink: PostgresSink, connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT pg_advisory_lock($1)", partitions.LOCK)  # as another collector that hangs
    await sink.write(JOURNAL, [exchange(Place(1, 0))], Place(1, 0))
    assert await rows(connection, "exchanges_default") == 1


def plan_tables(plan: list[asyncpg.Record]) -> set[str]:
    return {word for row in plan for word in row[0].split() if partitions.is_partition(word)}


async def test_an_exchange_and_its_bodies_are_looked_for_in_one_partition(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    await sink.write(JOURNAL, [exchange(Place(1, 0), request=b"x")], Place(1, 0))
    found = identity(NOW_US)
    plan = await connection.fetch(f"EXPLAIN SELECT data FROM exchanges WHERE id = '{found}'")
    assert plan_tables(plan) == {name("exchanges", TODAY)}
    body = event_id(found, "response", 0)
    plan = await connection.fetch(f"EXPLAIN SELECT data FROM payloads WHERE id = '{body}'")
    assert plan_tables(plan) == {name("payloads", TODAY)}
