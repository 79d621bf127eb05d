"""The one place that drives the collector's code: a recording becomes a journal's file, and the file becomes outputs, as `serve` does both.

Whoever moves modules adapts this file alone. It says nothing about what comes out (lines.py does).
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from collector.correlate import Correlator
from collector.dead_letters import DeadLetter, undone
from collector.enrich.catalogue import Catalogue
from collector.enrich.directory import selection_of
from collector.enrich.static import read_services
from collector.journal.sqlite import open_journal
from collector.messages.entry import Kind
from collector.messages.event import Output, Place
from collector.pipeline.isolation import SINK
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.roles.shared import limits
from collector.settings import Journal as JournalSettings
from collector.settings import Settings
from collector.sinks.protocol import WHOLE
from tests.replay_check.profiles import Profile
from tests.replay_check.recording import JOURNAL, Recording
from tests.support.clocks import TurnedClock

WAITING_BYTES = 1 << 30
NEVER_US = 1 << 60
AT_ONCE = 256  # appends that share a write
WAIT_SECONDS = 3600.0

Take = Callable[[Output, DeadLetter | None], None]


def write_journal(recording: Recording, path: Path) -> None:
    """The file that the collector would have, had it received this."""
    asyncio.run(_append(recording, path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET id = ?", (JOURNAL,))
        for first, last, removed in recording.damages:
            change = "DELETE FROM entries" if removed else "UPDATE entries SET payload = CAST(payload || x'ff' AS BLOB)"
            connection.execute(f"{change} WHERE position BETWEEN ? AND ?", (first, last))


async def _append(recording: Recording, path: Path) -> None:
    clock = TurnedClock(recording.entries[0].received_at)
    journal = await open_journal(JournalSettings(path=path), clock, WAITING_BYTES)
    try:
        waiting: list[asyncio.Task[int]] = []
        for kind, source, sender, received_at, payload in recording.entries:
            clock.now = received_at
            waiting.append(asyncio.create_task(journal.append(Kind(kind), source, payload, sender=sender)))
            await asyncio.sleep(0)  # it is stamped now
            if len(waiting) == AT_ONCE:
                await asyncio.gather(*waiting)
                waiting = []
        await asyncio.gather(*waiting)
    finally:
        await journal.close()


def replay(path: Path, profile: Profile, take: Take) -> None:
    """Runs the pipeline over the whole file, without a checkpoint to begin at, and hands on each output with its dead letter, in order.

    The file is left with a note of its opening, as a start leaves it: give each run a copy where that matters.
    """
    asyncio.run(_replay(path, profile, take))


async def _replay(path: Path, profile: Profile, take: Take) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = profile.settings(Path(folder))
        meaning = ExchangeMeaning.of(settings, _catalogue(settings, profile))
    clock = TurnedClock()
    journal = await open_journal(JournalSettings(path=path), clock, WAITING_BYTES)
    last = journal.last_position
    pipeline = Pipeline(
        journal,
        Taking(last, take),
        Correlator(limits(settings)),
        meaning,
        clock,
        batch=settings.sink.batch_exchanges,
        checkpoint_us=NEVER_US,
        checkpoint_bytes=NEVER_US,
        with_usage=profile.with_usage,
    )
    running = asyncio.create_task(pipeline.run())
    draining = asyncio.create_task(pipeline.drained(last, WAIT_SECONDS))
    try:
        await asyncio.wait({running, draining}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        if not draining.result():
            raise TimeoutError(f"the journal was not replayed within {WAIT_SECONDS:g} s")
    finally:
        for task in (running, draining):
            task.cancel()
        await asyncio.wait({running, draining})
        await journal.close()


def _catalogue(settings: Settings, profile: Profile) -> Catalogue:
    catalogue = Catalogue(settings.services.history)
    for text in profile.services:
        for version in read_services(text, "services", selection_of(settings.services)):
            catalogue.apply(version)
    return catalogue


class Taking:
    """A sink that hands outputs on. What ticks give that the pipeline itself appends while it waits is left out: it is not recorded."""

    def __init__(self, last: int, take: Take) -> None:
        self._last, self._take = last, take

    async def high(self, journal: str) -> Place:
        return Place(0, WHOLE)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        for output in outputs:
            if output.place.position <= self._last:
                fault = output.fault
                self._take(output, None if fault is None else undone(SINK, journal, output.place, fault))

    async def close(self) -> None:
        """Nothing is open."""
