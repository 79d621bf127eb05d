"""Several collectors on one Postgres store: one of them runs a relay, and another takes over when it is gone."""

from __future__ import annotations

from contextlib import suppress

from collector.errors import RetryableError
from collector.relays.open import TYPES
from collector.relays.sql_feed import SqlFeed
from collector.settings import Sink as SinkSettings
from collector.sinks.open import open_sink
from collector.store.engine import open_engine
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchanges
from tests.support.postgres import Database


def feed(database: Database, relay: str) -> SqlFeed:
    return SqlFeed(open_engine(SinkSettings(url=database.url)), frozenset(TYPES.values()), 10, 1 << 20, relay)


async def test_one_process_has_a_relay_until_it_is_gone(database: Database) -> None:
    sink = open_sink(SinkSettings(url=database.url), TurnedClock(NOW_US))
    made = exchanges(1)
    await sink.write(JOURNAL, made, made[0].place)
    await sink.close()
    first, second, other = feed(database, "a"), feed(database, "a"), feed(database, "b")
    assert (await first.journals(), await second.journals(), await other.journals()) == ([JOURNAL], [], [JOURNAL])
    before = second.generation
    await first.close()
    assert await second.journals() == [JOURNAL]
    assert second.generation > before, "what it knew of the places is of no use"
    await second.close()
    await other.close()


async def test_a_session_that_was_ended_loses_the_relay(database: Database) -> None:
    first = feed(database, "a")
    await first.journals()
    sink = open_sink(SinkSettings(url=database.url), TurnedClock(NOW_US))
    made = exchanges(1)
    await sink.write(JOURNAL, made, made[0].place)
    await sink.close()
    await database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    second = feed(database, "a")
    assert await second.journals() == [JOURNAL]
    with suppress(RetryableError):  # it notices at its first statement
        await first.journals()
    assert await first.journals() == []
    await first.close()
    await second.close()
