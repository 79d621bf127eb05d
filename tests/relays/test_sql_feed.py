"""The feed from the SQL store: what it gives equals what the pipeline made, in order, never beyond `high`, in batches that are bounded."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from collector.errors import RetryableError
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, USAGE_TYPE, Output, Place
from collector.relays.open import TYPES
from collector.relays.sql_feed import SqlFeed
from collector.settings import Sink as SinkSettings
from collector.sinks.open import open_sink
from collector.sinks.protocol import BEGINNING, WHOLE
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchange, exchanges, window
from tests.support.outputs import chats, outputs

ALL = frozenset(TYPES.values())


class Store:
    def __init__(self, url: str) -> None:
        self.settings = SinkSettings(url=url)
        self.feeds: list[SqlFeed] = []

    async def write(self, made: list[Output], high: Place, journal: str = JOURNAL) -> None:
        sink = open_sink(self.settings, TurnedClock(NOW_US))
        await sink.write(journal, made, high)
        await sink.close()

    def feed(self, types: frozenset[str] = ALL, batch: int = 100, batch_bytes: int = 1 << 20) -> SqlFeed:
        self.feeds.append(SqlFeed(open_engine(self.settings), types, batch, batch_bytes))
        return self.feeds[-1]


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/events.db"
        migrate(url)
    else:
        url = request.getfixturevalue("database").url
    made = Store(url)
    yield made
    for feed in made.feeds:
        await feed.close()


async def everything(feed: SqlFeed, journal: str = JOURNAL) -> tuple[list[Output], list[int]]:
    """All outputs, and how many came at once."""
    found: list[Output] = []
    sizes: list[int] = []
    place = BEGINNING
    while (read := await feed.read(journal, place)).place > place:
        found += read.outputs
        sizes.append(len(read.outputs))
        place = read.place
    return found, sizes


async def test_the_outputs_are_those_of_the_pipeline_with_their_usage_events(store: Store) -> None:
    made = outputs(chats(30), with_usage=True)
    await store.write(made, Place(made[-1].place.position, WHOLE))
    assert (await everything(store.feed()))[0] == made


async def test_only_the_types_that_are_wanted_are_given(store: Store) -> None:
    made = outputs(chats(3), with_usage=True)
    await store.write(made, made[-1].place)
    for types in ({USAGE_TYPE}, {EXCHANGE_TYPE}, {LEDGER_TYPE}):
        found, _ = await everything(store.feed(frozenset(types)))
        expected = [event for output in made for event in output.events if event.type in types]
        assert [event for output in found for event in output.events] == expected


async def test_nothing_beyond_high_is_given(store: Store) -> None:
    await store.write(exchanges(9), Place(5, 0))
    read = await store.feed().read(JOURNAL, BEGINNING)
    assert [output.place for output in read.outputs] == [Place(n, 0) for n in range(1, 6)]
    assert read.place == Place(5, 0)


async def test_the_place_follows_high_where_there_are_no_outputs(store: Store) -> None:
    await store.write([], Place(77, WHOLE))
    feed = store.feed()
    assert await feed.read(JOURNAL, BEGINNING) == ([], Place(77, WHOLE), [])
    assert await feed.high(JOURNAL) == Place(77, WHOLE)
    assert (await feed.read(JOURNAL, Place(77, WHOLE))).place == Place(77, WHOLE)


async def test_several_outputs_of_one_position_and_windows_between_them_keep_their_order(store: Store) -> None:
    made = [exchange(Place(3, n), NOW_US - n * 1000, salt=str(n)) if n % 3 else window(Place(3, n), NOW_US - n) for n in range(20)]
    await store.write(made, Place(3, WHOLE))
    for batch in (1, 2, 7, 100):
        found, sizes = await everything(store.feed(batch=batch))
        assert [output.place for output in found] == [output.place for output in made]
        assert max(sizes) <= batch


async def test_a_batch_is_bounded_in_bytes_as_they_are_stored(store: Store) -> None:
    await store.write(exchanges(20, response=os.urandom(100_000)), Place(20, 0))
    found, sizes = await everything(store.feed(batch_bytes=250_000))
    assert len(found) == 20
    assert max(sizes) == 2


async def test_a_batch_is_bounded_in_bytes_as_they_are_given(store: Store) -> None:
    """Zeros compress a thousandfold."""
    await store.write(exchanges(20, response=bytes(100_000)), Place(20, 0))
    found, sizes = await everything(store.feed(batch_bytes=250_000))
    assert len(found) == 20
    assert max(sizes) == 2


async def test_one_output_larger_than_a_batch_is_given_alone(store: Store) -> None:
    await store.write(exchanges(3, response=os.urandom(400_000)), Place(3, 0))
    assert (await everything(store.feed(batch_bytes=100_000)))[1] == [1, 1, 1]


async def test_every_journal_is_read_by_itself(store: Store) -> None:
    await store.write(exchanges(3), Place(3, 0))
    await store.write(exchanges(2, start_us=NOW_US + 10**9), Place(2, 0), "other")
    feed = store.feed()
    assert set(await feed.journals()) == {JOURNAL, "other"}
    assert len((await everything(feed, "other"))[0]) == 2


async def test_a_record_that_no_usage_can_be_made_of_is_damaged_and_still_given(store: Store) -> None:
    await store.write([exchange(Place(1, 0), data=b'{"inference":{"protocol":"openai-chat"}}')], Place(1, 0))
    read = await store.feed().read(JOURNAL, BEGINNING)
    assert [event.type for output in read.outputs for event in output.events] == [EXCHANGE_TYPE]
    assert [found.data for found in read.damaged] == [b'{"inference":{"protocol":"openai-chat"}}']


async def test_a_payload_that_cannot_be_decompressed_is_damaged_and_nothing_else_lost(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/e.db")
    store = Store(f"sqlite:///{tmp_path}/e.db")
    await store.write(exchanges(2, request=b"a" * 500), Place(2, 0))
    with sqlite3.connect(tmp_path / "e.db") as connection:
        connection.execute("UPDATE payloads SET data = x'00' WHERE rowid = (SELECT min(rowid) FROM payloads)")
    connection.close()
    feed = store.feed(ALL - {USAGE_TYPE})
    read = await feed.read(JOURNAL, BEGINNING)
    assert sum(len(output.events) for output in read.outputs) == 3
    assert [found.data for found in read.damaged] == [b"\0"]
    await feed.close()


@pytest.mark.parametrize("table", ["exchanges", "ledger", "payloads"])
async def test_what_sqlite_reads_as_text_is_damaged_and_nothing_else_lost(tmp_path: Path, table: str) -> None:
    """A flipped bit in a row's head does that."""
    migrate(f"sqlite:///{tmp_path}/e.db")
    store = Store(f"sqlite:///{tmp_path}/e.db")
    await store.write([*exchanges(2, request=b"a" * 500), window(Place(3, 0), NOW_US)], Place(3, 0))
    with sqlite3.connect(tmp_path / "e.db") as connection:
        connection.execute(f"UPDATE {table} SET data = CAST('é' || data AS TEXT) WHERE rowid = (SELECT min(rowid) FROM {table})")
    connection.close()
    feed = store.feed(ALL - {USAGE_TYPE})
    read = await feed.read(JOURNAL, BEGINNING)
    assert sum(len(output.events) for output in read.outputs) == (3 if table == "exchanges" else 4)
    [damaged] = read.damaged
    assert damaged.data.startswith("é".encode())
    await feed.close()


async def test_a_store_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    feed = SqlFeed(open_engine(SinkSettings(url=f"sqlite:///{tmp_path}/none/e.db")), ALL, 1, 1)
    for attempt in (feed.journals(), feed.high("x"), feed.read("x", BEGINNING)):
        with pytest.raises(RetryableError):
            await attempt
    await feed.close()
    while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):  # aiosqlite's, of connections that failed
        await asyncio.sleep(0.01)
