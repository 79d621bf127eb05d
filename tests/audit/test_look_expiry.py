"""Looks have a time of keeping of their own."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select, update

from collector.access.look import made
from collector.access.look_expiry import LookExpiry
from collector.access.look_writer import LookWriter
from collector.clock import SystemClock
from collector.errors import RetryableError
from collector.store.retention import Retention
from collector.store.schema import looks, looks_at
from tests.audit.lookers import ADA, looks_in
from tests.audit.rows import NOW, Store
from tests.support.clocks import TurnedClock

DAY = 86_400_000_000


async def written(store: Store, *ages: int) -> None:
    """A look for each of these ages in days, each at one exchange."""
    engine = store.opened()
    writer = LookWriter(engine, SystemClock(), CollectorRegistry(), 10.0)
    writer.start()
    for age in ages:
        asked = ("GET", "/v1/exchanges", "")
        await writer.write(made(NOW - age * DAY, bytes([age]), ADA, "", asked, "list", 200, 1, (f"exchange-{age}",), ""))
    await writer.stop()
    await engine.dispose()


def seen(store: Store) -> list[str]:
    found: list[str] = []
    store.transact(lambda connection: _read(connection, found))
    return found


def _read(connection: Connection, found: list[str]) -> None:
    found.extend(connection.execute(select(looks_at.c.exchange).order_by(looks_at.c.look)).scalars())


async def test_what_is_older_goes_with_what_it_says_of_exchanges(store: Store) -> None:
    await written(store, 0, 5, 9, 10, 40)
    engine = store.opened()
    await Retention(LookExpiry(engine), 7, TurnedClock(NOW)).once()
    await engine.dispose()
    assert [(NOW - look["time_us"]) // DAY for look in looks_in(store)] == [5, 0]
    assert seen(store) == ["exchange-5", "exchange-0"]


async def test_a_dry_run_counts_and_deletes_nothing(store: Store) -> None:
    await written(store, 0, 9, 10)
    engine = store.opened()
    assert [step async for step in LookExpiry(engine).end(NOW // DAY - 5, dry_run=True)] == [("looks", 2)]
    assert len(looks_in(store)) == 3
    assert await LookExpiry(engine).newest_us() == NOW
    await engine.dispose()


async def test_a_store_without_the_table_is_asked_again_later(sqlite_store: Store) -> None:
    sqlite_store.drop()
    engine = sqlite_store.opened()
    with pytest.raises(RetryableError):
        [step async for step in LookExpiry(engine).end(5)]
    await engine.dispose()


async def test_a_damaged_look_goes_with_the_others(store: Store) -> None:
    await written(store, 0, 9, 10)
    store.transact(lambda connection: connection.execute(update(looks).where(looks.c.time_us < NOW).values(exchanges=b"\xff")))
    engine = store.opened()
    await Retention(LookExpiry(engine), 7, TurnedClock(NOW)).once()
    await engine.dispose()
    assert len(looks_in(store)) == 1
