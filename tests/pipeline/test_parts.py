"""One entry that gives more than a write is stored in parts: no more of it is in hand, and each is stored once wherever it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from collector.correlate import Correlator
from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Entry
from collector.messages.event import Output, Place
from collector.pipeline.pipeline import Pipeline
from collector.sinks.protocol import WHOLE
from collector.sinks.sqlite import SqliteSink
from collector.store.migrate import migrate
from tests.pipeline.test_pipeline import LIMITS, Blocked, Counting, NoMeaning, append, opened, stored
from tests.support.clocks import TurnedClock
from tests.support.pipelines import NO_TICKS, all_done, running
from tests.support.witnesses import T0, Tape, Told, log_message

LOGS = LIMITS._replace(expects_tap=False, step=8)  # each log entry closes an exchange, and eight of them are a step


def logs(*counts: int) -> list[Entry]:
    """One entry each, of so many exchanges."""
    made, first = Tape(), 0
    for count in counts:
        made.log(log_message([Told(n, request_id=f"r{n}", start_us=T0 + n) for n in range(first, first + count)]), 0.01)
        first += count
    return made.entries


@asynccontextmanager
async def fed(
    folder: Path, clock: TurnedClock, entries: Sequence[Entry], sink: SqliteSink, *, batch: int = 3, meaning: NoMeaning | None = None
) -> AsyncIterator[tuple[SqliteJournal, Pipeline]]:
    """A pipeline whose entries are all in the journal before it starts, with a checkpoint wherever one may be."""
    journal = await opened(folder, clock)
    await append(journal, clock, entries)
    made = meaning or NoMeaning()
    bounds = {"batch": batch, "checkpoint_us": 10**18, "checkpoint_bytes": 1}
    pipeline = Pipeline(journal, sink, Correlator(LOGS), made, clock, **bounds, tick_seconds=NO_TICKS)
    async with running(journal, pipeline, sink):
        yield journal, pipeline


async def stored_at_once(folder: Path, entries: Sequence[Entry]) -> list[tuple[Any, ...]]:
    """What these entries come to where nothing is stored in parts."""
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    async with fed(folder, TurnedClock(0), entries, SqliteSink(folder / "events.db"), batch=1000) as (journal, pipeline):
        await all_done(pipeline, journal)
    return stored(folder)


async def checkpointed(journal: SqliteJournal, position: int) -> None:
    async with asyncio.timeout(20):
        while (found := await journal.checkpoint(position)) is None or found.position < position:
            await asyncio.sleep(0.005)


class Ending(SqliteSink):
    """Notes what it stores; at one write the process ends: before it is stored, or `behind` it and before anybody knows."""

    def __init__(self, path: Path, places: list[Place], writes: int = 1 << 30, behind: bool = False) -> None:
        super().__init__(path)
        self.over, self.sizes = asyncio.Event(), list[int]()
        self._places, self._left, self._behind = places, writes, behind

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        self.sizes.append(len(outputs))
        self._left -= 1
        if self._left < 0 and not self._behind:
            await self._ends()
        await super().write(journal, outputs, high)
        self._places += [output.place for output in outputs]
        if self._left < 0:
            await self._ends()

    async def _ends(self) -> None:
        self.over.set()
        await asyncio.Event().wait()


async def test_of_one_large_entry_no_more_is_in_hand_than_a_write_and_a_step(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/events.db")
    blocked, meaning = Blocked(tmp_path / "events.db"), Counting()
    async with fed(tmp_path, TurnedClock(0), logs(40), blocked, meaning=meaning) as (journal, pipeline):
        async with asyncio.timeout(20):
            while meaning.decoded < 3:
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
        assert meaning.decoded == 8, "the rest of the entry waits until this step is stored"
        assert pipeline.fed == 0
        blocked.open.set()
        await all_done(pipeline, journal)
    assert meaning.decoded == 40
    assert sum(row[0] == "exchanges" for row in stored(tmp_path)) == 40


@pytest.mark.slow
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("writes", [0, 1, 2, 7, 12])  # of 13 that are stored before the entry is fed, 3 exchanges each
async def test_a_crash_between_the_parts_of_one_entry_stores_each_once(tmp_path: Path, writes: int, behind: bool) -> None:
    entries = logs(2, 40, 2)
    expected = await stored_at_once(tmp_path / "whole", entries)
    folder, clock, places = tmp_path / "cut", TurnedClock(0), list[Place]()
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    path = folder / "events.db"
    async with fed(folder, clock, entries[:1], Ending(path, places)) as (journal, pipeline):
        assert await pipeline.drained(1, 20)
        await checkpointed(journal, 1)  # from there it has to go on: the large entry is stored in part only
    ending = Ending(path, places, writes, behind)
    async with fed(folder, clock, entries[1:], ending) as (journal, pipeline):
        async with asyncio.timeout(20):
            await ending.over.wait()
        assert pipeline.fed == 1, "the entry is not fed before all of it is"
        assert await journal.checkpoint(journal.last_position) == await journal.checkpoint(1), "no checkpoint within an entry"
    assert max(ending.sizes) <= 3
    before, meaning = len(places), Counting()
    assert 2 <= before < 44
    async with fed(folder, clock, [], Ending(path, places), meaning=meaning) as (journal, pipeline):
        await all_done(pipeline, journal)
    assert meaning.decoded == 44 - before, "what is stored is not described again"
    assert stored(folder) == expected
    assert len(places) == len(set(places)) == 44
    assert places == sorted(places)


async def test_a_checkpoint_right_behind_an_entry_that_was_stored_in_parts_is_one_to_go_on_from(tmp_path: Path) -> None:
    """The last part says a place within the entry, which covers no checkpoint behind it: the store is told that the entry is whole."""
    entries = logs(40, 2)
    expected = await stored_at_once(tmp_path / "whole", entries)
    folder, clock = tmp_path / "parts", TurnedClock(0)
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    path = folder / "events.db"
    sink = SqliteSink(path)
    async with fed(folder, clock, entries[:1], sink) as (journal, pipeline):
        assert await pipeline.drained(1, 20)
        await checkpointed(journal, 1)
        assert await sink.high(journal.id) == pipeline.done == Place(1, WHOLE)
    meaning = Counting()
    async with fed(folder, clock, entries[1:], SqliteSink(path), meaning=meaning) as (journal, pipeline):
        async with asyncio.timeout(20):
            while not pipeline._resumed:
                await asyncio.sleep(0)
        assert pipeline.fed >= 1, "it goes on from the checkpoint"
        assert await pipeline.drained(2, 20)
    assert meaning.decoded == 2
    assert stored(folder) == expected
