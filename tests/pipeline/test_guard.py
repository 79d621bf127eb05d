"""The pipeline with poison in its journal, over a real journal and a real store: it goes on, and each letter is there once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from collector.correlate import Closed, Correlator
from collector.dead_letters import DeadLetter
from collector.dead_letters.burials import Burials
from collector.dead_letters.sql import SqlDeadLetters
from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Entry, Kind
from collector.messages.event import Place
from collector.messages.exchange import Fault, Node
from collector.messages.redacted import Redacted
from collector.pipeline.isolation import IsolatingSink
from collector.pipeline.pipeline import TICK_SECONDS, Pipeline
from collector.settings import Sink as SinkSettings
from collector.sinks.sqlite import SqliteSink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.pipeline.test_pipeline import LIMITS, Blocked, NoMeaning, append, opened, stored
from tests.support.clocks import TurnedClock
from tests.support.pipelines import NO_TICKS, all_done, running
from tests.support.witnesses import NODE, Tape, Told, Vm, log_message, parts

POISON = ("/poison", "/x")


class Choosy(NoMeaning):
    """Cannot tell whose the poison was."""

    def enrich(self, redacted: Redacted) -> dict[str, Any]:
        if redacted.path == POISON[0]:
            raise OverflowError("too large")
        return {}


def told(number: int) -> Told:
    return Told(number, request_id=f"r{number}", start_us=1_780_000_000_000_000 + number, path=POISON[number % 5 != 0])


def tape(count: int = 40) -> list[Entry]:
    """Every fifth exchange is poison."""
    made, vm = Tape(), Vm()
    for start in range(0, count, 4):
        some = [told(number) for number in range(start, start + 4)]
        made.tap(vm.seal([part for one in some for part in parts(one)]), 0.1)
        made.log(log_message(some), 0.1)
    made.tick(5)
    made.tick(5)
    return made.entries


class Lab:
    tick_seconds = TICK_SECONDS

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.burials = folder, TurnedClock(0), Burials()
        self.url = f"sqlite:///{folder}/events.db"
        migrate(self.url)

    @asynccontextmanager
    async def running(
        self, correlator: Correlator | None = None, sink: Any = None, **more: Any
    ) -> AsyncIterator[tuple[SqliteJournal, Pipeline]]:
        journal = await opened(self.folder, self.clock)
        inner = sink or SqliteSink(self.folder / "events.db")
        isolating = IsolatingSink(inner, SqlDeadLetters(open_engine(SinkSettings(url=self.url))), self.clock, self.burials)
        chosen = {"batch": 7, "checkpoint_us": 1, "tick_seconds": self.tick_seconds, "checkpoint_bytes": 2_000, **more}
        pipeline = Pipeline(journal, isolating, correlator or Correlator(LIMITS), Choosy(), self.clock, **chosen)
        async with running(journal, pipeline, isolating):
            yield journal, pipeline

    async def letters(self) -> list[DeadLetter]:
        letters = SqlDeadLetters(open_engine(SinkSettings(url=self.url)))
        found = [letter async for letter in letters.all()]
        await letters.close()
        return found


def kept(found: list[DeadLetter]) -> list[tuple[Any, ...]]:
    """All but the journal's random name and the ids that are made of it."""
    return [(one.place, one.at_us, one.reason, one.content_type, one.data) for one in found]


def rows(folder: Path) -> list[tuple[Any, ...]]:
    return stored(folder)


async def test_poison_is_a_letter_and_a_count_and_all_else_is_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab(tmp_path)
    async with lab.running() as (journal, pipeline):
        await append(journal, lab.clock, tape())
        await all_done(pipeline, journal)
    exchanges = [row for row in rows(tmp_path) if row[0] == "exchanges"]
    assert len(exchanges) == 32
    found = await lab.letters()
    assert len(found) == 8
    assert {one.origin for one in found} == {"sink"}
    assert lab.burials.stages == {"enrich": 8}
    windows = [orjson.loads(next(cell for cell in row if isinstance(cell, bytes))) for row in rows(tmp_path) if row[0] == "ledger"]
    assert sum(window.get("malformed", {}).get("dead_letter_enrich", 0) for window in windows) == 8
    said = [record for record in caplog.records if "dead letters" in record.message and record.levelno == logging.ERROR]
    assert len(said) == 1, "one kind of failure fills no log"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_a_replay_gives_the_same_letters_once(tmp_path: Path, seed: int) -> None:
    whole, cut, chance = tmp_path / "whole", tmp_path / "cut", Random(seed)
    for folder in (whole, cut):
        folder.mkdir()
    entries = tape()
    lab = Lab(whole)
    lab.tick_seconds = NO_TICKS
    async with lab.running() as (journal, pipeline):
        await append(journal, lab.clock, entries)
        await all_done(pipeline, journal)
    again, left = Lab(cut), list(entries)
    again.tick_seconds = NO_TICKS
    while left:
        async with again.running(batch=chance.choice([1, 3, 50])) as (journal, pipeline):
            some = left[: chance.randint(1, 9)]
            del left[: len(some)]
            await append(journal, again.clock, some)
            for _ in range(chance.randint(0, 60)):
                await asyncio.sleep(0)
            if not left:
                await all_done(pipeline, journal)
    assert kept(await again.letters()) == kept(await lab.letters())
    assert rows(cut) == rows(whole)


class Faulty(Correlator):
    """Cannot take one of its entries; works in steps."""

    def steps(self, entry: Entry) -> Iterator[list[Closed]]:
        closed = [one for step in super().steps(entry) for one in step]
        yield closed[:1]
        yield closed[1:]
        if entry.position == 3:
            fault = Fault(Node(NODE), "feed", "feed failed: IndexError", entry.received_at, "application/x-protobuf", entry.payload)
            yield [Closed(Place(3, len(closed)), fault)]


async def test_what_the_correlator_cannot_take_is_a_letter_with_the_entrys_bytes(tmp_path: Path) -> None:
    lab, entries = Lab(tmp_path), tape()
    async with lab.running(Faulty(LIMITS)) as (journal, pipeline):
        await append(journal, lab.clock, entries)
        await all_done(pipeline, journal)
    found = [one for one in await lab.letters() if one.content_type == "application/x-protobuf"]
    assert [one.data for one in found] == [entries[2].payload]
    assert lab.burials.stages["feed"] == 1


class Unwritable(Correlator):
    """Holds what no checkpoint can hold, for a while."""

    broken = True

    def state(self) -> bytes:
        if self.broken:
            raise OverflowError("Integer value out of range")
        return super().state()


async def test_a_checkpoint_that_cannot_be_made_is_told_and_truncates_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lab, entries, correlator = Lab(tmp_path), tape(), Unwritable(LIMITS)
    async with lab.running(correlator) as (journal, pipeline):
        await append(journal, lab.clock, entries)
        await all_done(pipeline, journal)
        async with asyncio.timeout(20):
            while pipeline.checkpoint_failing is None:
                await append(journal, lab.clock, [entries[-1]])
        assert "OverflowError" in pipeline.checkpoint_failing
        assert pipeline.checkpoints_failed
        assert journal.floor_position == 0
        assert sum("checkpoint" in record.message for record in caplog.records if record.levelno == logging.ERROR) == 1
        correlator.broken = False
        async with asyncio.timeout(20):
            while pipeline.checkpoint_failing is not None or not journal.floor_position:
                lab.clock.now += 1_000_000
                await append(journal, lab.clock, [entries[-1]._replace(received_at=lab.clock.now)])
                await asyncio.sleep(0)
    assert len([row for row in rows(tmp_path) if row[0] == "exchanges"]) == 32


async def test_how_old_the_oldest_unstored_entry_is(tmp_path: Path) -> None:
    lab, made, blocked = Lab(tmp_path), Tape(), Blocked(tmp_path / "events.db")
    for number in range(1, 5):
        made.log(log_message([told(number)]), 1.0)
    correlator = Correlator(LIMITS._replace(expects_tap=False))  # each entry closes something
    async with lab.running(correlator, blocked, checkpoint_us=10**12) as (journal, pipeline):
        await append(journal, lab.clock, made.entries)
        async with asyncio.timeout(20):
            while not pipeline._in_hand:
                await asyncio.sleep(0)
        lab.clock.now = made.entries[0].received_at + 42_000_000
        for by in (0, 86_400_000_000, -2 * 86_400_000_000):
            lab.clock.step(by)
            assert pipeline.oldest_unstored_seconds == 42.0
        blocked.open.set()
        await all_done(pipeline, journal)
        assert pipeline.oldest_unstored_seconds == 0.0


async def test_it_grows_too_while_a_place_without_outputs_cannot_be_stored(tmp_path: Path) -> None:
    lab, made, blocked = Lab(tmp_path), Tape(), Blocked(tmp_path / "events.db")
    made.tap(Vm().seal(parts(told(1))))  # closes nothing yet
    async with lab.running(None, blocked, checkpoint_bytes=1, checkpoint_us=10**12) as (journal, pipeline):
        await append(journal, lab.clock, made.entries)
        async with asyncio.timeout(20):
            while not pipeline.fed or not pipeline._in_hand:
                await asyncio.sleep(0)
        lab.clock.now += 42_000_000
        assert pipeline.oldest_unstored_seconds == 42.0
        blocked.open.set()
        async with asyncio.timeout(20):
            while pipeline.oldest_unstored_seconds:
                await asyncio.sleep(0)


class Down(SqliteSink):
    """A store that does not answer yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = asyncio.Event()

    async def high(self, journal: str) -> Place:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_until_it_is_known_what_is_stored_the_age_grows_from_the_start_on(tmp_path: Path) -> None:
    lab, down = Lab(tmp_path), Down(tmp_path / "events.db")
    async with lab.running(sink=down) as (_, pipeline):
        async with asyncio.timeout(20):
            await down.asked.wait()
        lab.clock.now += 7_000_000
        assert pipeline.oldest_unstored_seconds == 7.0


async def test_a_clock_that_is_set_back_delays_no_checkpoint(tmp_path: Path) -> None:
    lab, entries = Lab(tmp_path), tape()
    async with lab.running(checkpoint_us=1_000_000, checkpoint_bytes=1 << 40) as (journal, pipeline):
        await append(journal, lab.clock, entries)
        lab.clock.step(-86_400_000_000)
        await all_done(pipeline, journal)
        before, left = pipeline.checkpointed, 60
        await journal.append(Kind.TICK, "", b"")
        async with asyncio.timeout(20):
            while pipeline.checkpointed == before:  # one may be made before the tick is fed: then the next is due a second later
                lab.clock.now += 1_000_000 if left > 0 else 0
                left -= 1
                await asyncio.sleep(0.01)
