"""The pipeline on a real journal and a real store: whatever is cut off, wherever, the store ends up the same."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.errors import RetryableError
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.captured import Decoded
from collector.messages.entry import Entry, Kind
from collector.messages.event import Output, Place
from collector.messages.redacted import Redacted
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.settings import Journal as JournalSettings
from collector.sinks.sqlite import SqliteSink
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.pipelines import NO_TICKS, all_done, running
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

LIMITS = Limits(linger_us=1_000_000, ledger_us=2_000_000)


class NoMeaning(ExchangeMeaning):
    """Without a decoder and a catalogue."""

    def __init__(self) -> None:
        super().__init__(Catalogue())

    def decode(self, redacted: Redacted) -> tuple[Redacted, Decoded]:
        return redacted, Decoded()

    def enrich(self, redacted: Redacted) -> dict[str, Any]:
        return {}


def tape(chance: Random, number: int = 60) -> Tape:
    """Traffic with losses, repeats and late pieces."""
    made, vm = Tape(), Vm()
    told = [Told(n, request_id=f"r{n}", start_us=1_780_000_000_000_000 + n, response=(b"x" * n, b"y")) for n in range(number)]
    for start in range(0, number, 4):
        some = told[start : start + 4]
        batch = vm.seal([p for t in some for p in parts(t, chance.choice([1, 2]))])
        if chance.random() < 0.85:
            made.tap(batch, chance.choice([0.01, 0.4, 1.2]))
        if chance.random() < 0.2:
            made.tap(batch)
        if chance.random() < 0.85:
            made.log(log_message(some), chance.choice([0.01, 0.4, 1.2]))
    made.tick(5)
    made.tick(5)
    return made


def pipeline(journal: SqliteJournal, sink: Any, batch: int = 7, tick_seconds: float = NO_TICKS, **seconds: float) -> Pipeline:
    bounds: dict[str, Any] = {"batch": batch, "checkpoint_us": 1, "checkpoint_bytes": 2_000, **seconds}
    return Pipeline(journal, sink, Correlator(LIMITS), NoMeaning(), journal._clock, **bounds, tick_seconds=tick_seconds)


async def opened(folder: Path, clock: TurnedClock) -> SqliteJournal:
    return await open_journal(JournalSettings(path=folder / "journal.db"), clock, 64 << 20)


async def append(journal: SqliteJournal, clock: TurnedClock, entries: Sequence[Entry]) -> None:
    for entry in entries:
        clock.now = entry.received_at
        await journal.append(entry.kind, entry.source, entry.payload)


def stored(folder: Path) -> list[tuple[Any, ...]]:
    """All that the store holds, but for the journal's random name."""
    connection = sqlite3.connect(folder / "events.db")
    found = []
    for table, skipped in (("exchanges", {"journal"}), ("payloads", set()), ("ledger", {"journal"})):
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in skipped]
        found += [(table, *row) for row in connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY id")]
    connection.close()
    return found


async def uninterrupted(folder: Path, entries: Sequence[Entry]) -> list[tuple[Any, ...]]:
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    clock = TurnedClock(0)
    journal, sink = await opened(folder, clock), SqliteSink(folder / "events.db")
    whole = pipeline(journal, sink)
    async with running(journal, whole, sink):
        await append(journal, clock, entries)
        await all_done(whole, journal)
    return stored(folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_cut_off_anywhere_and_resumed_it_stores_the_same(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    entries = tape(chance).entries
    expected = await uninterrupted(tmp_path / "whole", entries)
    assert len(expected) > 100
    folder = tmp_path / "cut"
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    clock, left, places = TurnedClock(0), list(entries), list[Place]()
    while left:
        journal, sink = await opened(folder, clock), SqliteSink(folder / "events.db")
        cut = pipeline(journal, Recording(sink, places), batch=chance.choice([1, 3, 50]))
        async with running(journal, cut, sink):
            some = left[: chance.randint(1, 30)]
            del left[: len(some)]
            await append(journal, clock, some)
            if left:
                for _ in range(chance.randint(0, 40)):
                    await asyncio.sleep(0)
            else:
                await all_done(cut, journal)
    assert stored(folder) == expected
    assert len(places) == len(set(places)), "stored twice"


class Recording:
    """The real sink, which notes every place that it has stored: ids that drop repeats must not hide that something came twice."""

    def __init__(self, sink: SqliteSink, places: list[Place]) -> None:
        self._sink, self._places = sink, places

    async def high(self, journal: str) -> Place:
        return await self._sink.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        await self._sink.write(journal, outputs, high)
        self._places += [output.place for output in outputs]

    async def close(self) -> None:
        await self._sink.close()


class Flaky:
    """The real sink, which fails now and then before it begins."""

    def __init__(self, sink: SqliteSink, chance: Random) -> None:
        self._sink, self._chance = sink, chance

    async def high(self, journal: str) -> Place:
        return await self._sink.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        if self._chance.random() < 0.3:
            raise RetryableError("busy")
        await self._sink.write(journal, outputs, high)


async def test_a_sink_that_fails_now_and_then_loses_nothing(tmp_path: Path) -> None:
    entries = tape(Random(99)).entries
    expected = await uninterrupted(tmp_path / "whole", entries)
    folder = tmp_path / "flaky"
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    clock = TurnedClock(0)
    clock.longest_sleep = 0.001  # between tries
    journal, sink = await opened(folder, clock), SqliteSink(folder / "events.db")
    flaky = pipeline(journal, Flaky(sink, Random(7)))
    async with running(journal, flaky, sink):
        await append(journal, clock, entries)
        await all_done(flaky, journal)
        assert flaky.failing is None
    assert stored(folder) == expected


async def test_time_passes_although_nothing_comes(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/events.db")
    clock = TurnedClock(0)
    journal, sink = await opened(tmp_path, clock), SqliteSink(tmp_path / "events.db")
    ticking = pipeline(journal, sink, tick_seconds=0.01)
    async with running(journal, ticking, sink):
        await append(journal, clock, [Tape().tap(Vm().seal(parts(Told(1))))])
        clock.now += 1_500_000
        async with asyncio.timeout(20):
            while ticking.done < Place(2, 0):
                await asyncio.sleep(0.005)
        entries = await journal.read(0, 1 << 20)
        assert {e.kind for e in entries} <= {Kind.TAP, Kind.TICK}
    assert [row[0] for row in stored(tmp_path)][:1] == ["exchanges"]


class Escaping:
    """A store whose client lets a cancellation of its own escape, once."""

    def __init__(self, inner: SqliteSink) -> None:
        self._inner, self.escaped = inner, 0

    async def high(self, journal: str) -> Place:
        return await self._inner.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        if not self.escaped:
            self.escaped += 1
            raise asyncio.CancelledError
        await self._inner.write(journal, outputs, high)


async def test_a_cancellation_that_escapes_from_a_client_stops_nothing(tmp_path: Path) -> None:
    entries = tape(Random(1)).entries
    migrate(f"sqlite:///{tmp_path}/events.db")
    clock = TurnedClock(0)
    journal = await opened(tmp_path, clock)
    sink = SqliteSink(tmp_path / "events.db")
    escaping = Escaping(sink)
    going_on = pipeline(journal, escaping)
    async with running(journal, going_on, sink):
        await append(journal, clock, entries)
        await all_done(going_on, journal)
        assert escaping.escaped == 1
    assert stored(tmp_path)


class Blocked(SqliteSink):
    """A store that takes nothing until it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.open = asyncio.Event()

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        await self.open.wait()
        await super().write(journal, outputs, high)


class Counting(NoMeaning):
    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def decode(self, redacted: Redacted) -> tuple[Redacted, Decoded]:
        self.decoded += 1
        return super().decode(redacted)


async def test_of_a_backlog_of_small_log_entries_no_more_is_in_hand_than_two_writes(tmp_path: Path) -> None:
    batch, each, messages = 21, 5, 60
    made = Tape()
    for n in range(messages):
        told = [Told(k, request_id=f"r{k}", start_us=1_780_000_000_000_000 + k) for k in range(n * each, (n + 1) * each)]
        made.log(log_message(told), 0.01)
    migrate(f"sqlite:///{tmp_path}/events.db")
    clock, meaning = TurnedClock(0), Counting()
    journal, sink = await opened(tmp_path, clock), Blocked(tmp_path / "events.db")
    await append(journal, clock, made.entries)
    correlator = Correlator(LIMITS._replace(expects_tap=False))
    held = Pipeline(journal, sink, correlator, meaning, clock, batch=batch, checkpoint_us=1, checkpoint_bytes=6_000)
    async with running(journal, held, sink):
        async with asyncio.timeout(20):
            while meaning.decoded < 2 * batch:
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
        assert meaning.decoded < 2 * (batch + each)
        sink.open.set()
        await all_done(held, journal)
        assert meaning.decoded == messages * each
    assert sum(row[0] == "exchanges" for row in stored(tmp_path)) == messages * each


async def test_a_full_disk_ends_no_pipeline_and_what_was_taken_is_stored(tmp_path: Path) -> None:
    """A checkpoint that finds no room is said, and made when there is room again."""
    entries = tape(Random(7)).entries
    migrate(f"sqlite:///{tmp_path}/events.db")
    clock = TurnedClock()
    journal, sink = await opened(tmp_path, clock), SqliteSink(tmp_path / "events.db")
    full = pipeline(journal, sink)
    async with running(journal, full, sink) as task:
        await append(journal, clock, entries[:20])
        await all_done(full, journal)
        pages = await journal._writer.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        await journal._writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").close())
        refused = 0
        for entry in entries[20:] * 3:
            try:
                await append(journal, clock, [entry])
            except RetryableError:
                refused += 1
        await all_done(full, journal)
        assert refused
        assert not task.done()
        await journal._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").close())
        await append(journal, clock, entries[:4])
        await all_done(full, journal)
        async with asyncio.timeout(20):
            while full.checkpoint_failing:
                await append(journal, clock, entries[:1])
                await asyncio.sleep(0.05)
