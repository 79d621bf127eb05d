"""Retention spares what a relay has not copied, on both stores, for as long as it is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collector.messages.event import Place
from collector.metrics import RetentionMetrics
from collector.relays.hold import RelayHold
from collector.relays.places import SqlPlaces
from collector.settings import Kafka, Relay, Settings, Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_engine, open_expiry
from collector.store.migrate import migrate
from collector.store.retention import Retention
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange, window
from tests.support.postgres import Database

TODAY = NOW_US // DAY_US
AGES = (40, 33, 32, 0)  # days, in the order of the journal


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with an exchange of each age, and a ledger window behind the last."""
    if request.param == "postgres":
        database: Database = request.getfixturevalue("database")
        found = database.url
    else:
        found = f"sqlite:///{tmp_path}/events.db"
        migrate(found)
    sink = open_sink(Sink(url=found), TurnedClock(NOW_US))
    for number, age in enumerate(AGES, 1):
        await sink.write(JOURNAL, [exchange(Place(number, 0), NOW_US - age * DAY_US)], Place(number, 0))
    await sink.write(JOURNAL, [window(Place(9, 0), NOW_US - 33 * DAY_US)], Place(9, 0))
    await sink.close()
    return found


def settings(url: str, *relays: Relay, grace: int = 7) -> Settings:
    relays = relays or (Relay(name="r", to="http", url="http://h/", types=["exchange"]),)
    kafka = Kafka(bootstrap_servers="127.0.0.1:9", timeout_seconds=1)
    return Settings(sink=Sink(url=url, relay_grace_days=grace), kafka=kafka, relays=list(relays))


async def copied(url: str, position: int) -> None:
    places = SqlPlaces(open_engine(Sink(url=url)), "r")
    await places.set(JOURNAL, Place(position, 0))
    await places.close()


async def kept(url: str) -> list[int]:
    """The ages of the exchanges that are left."""
    engine = open_engine(Sink(url=url))
    async with engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT id FROM exchanges ORDER BY id")).all()
    await engine.dispose()
    return [TODAY - int(row.id[:8] + row.id[9:13], 16) // (DAY_US // 1000) for row in rows]


async def test_a_relay_that_has_copied_all_holds_nothing(url: str) -> None:
    await copied(url, 4)
    assert await RelayHold(settings(url)).first_kept(TODAY - 30) == TODAY - 30


async def test_days_that_a_relay_has_not_copied_stay_and_it_is_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await copied(url, 1)
    hold, registry = RelayHold(settings(url)), CollectorRegistry()
    RetentionMetrics(registry, hold)
    with caplog.at_level(logging.WARNING):
        await Retention(open_expiry(Sink(url=url)), 30, TurnedClock(NOW_US), hold.first_kept).once()
    assert await kept(url) == [33, 32, 0]
    assert "relay r has not copied what is 3 days too old: it is kept for now" in caplog.text
    assert registry.get_sample_value("meshscribe_retention_held_days", {"relay": "r"}) == 3


async def test_behind_the_grace_days_go_uncopied_and_that_is_an_error(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The relay has copied nothing: what is 10 days too old goes, what is within the 7 days of grace stays."""
    hold = RelayHold(settings(url))
    with caplog.at_level(logging.WARNING):
        await Retention(open_expiry(Sink(url=url)), 30, TurnedClock(NOW_US), hold.first_kept).once()
    assert await kept(url) == [33, 32, 0]
    assert [record.levelname for record in caplog.records if "10 days too old: it is deleted uncopied" in record.message] == ["ERROR"]
    assert await RelayHold(settings(url, grace=0)).first_kept(TODAY - 30) == TODAY - 30


async def test_what_a_relay_does_not_copy_it_does_not_hold(url: str) -> None:
    """Ledger windows hold for a relay of windows, exchanges do not."""
    relay = Relay(name="r", to="http", url="http://h/", types=["ledger"])
    assert await RelayHold(settings(url, relay)).first_kept(TODAY - 30) == TODAY - 33
    await copied(url, 9)
    assert await RelayHold(settings(url, relay)).first_kept(TODAY - 30) == TODAY - 30


async def test_a_place_that_cannot_be_asked_for_counts_as_none(url: str) -> None:

    held = settings(url, Relay(name="r", to="kafka"), grace=20)
    assert await RelayHold(held).first_kept(TODAY - 30) == TODAY - 40
