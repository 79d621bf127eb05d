"""Journal and store are files of their own: either may have lost its end, or be an older copy. What comes then is stored all the same."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson
import pytest

from collector.correlate import Correlator
from collector.dead_letters.sql import SqlDeadLetters
from collector.errors import DamagedError, RetryableError
from collector.journal import Checkpoint
from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Incident
from collector.messages.event import Place
from collector.pipeline.isolation import IsolatingSink
from collector.pipeline.pipeline import TICK_SECONDS, Pipeline
from collector.settings import Sink as SinkSettings
from collector.sinks.protocol import WHOLE
from collector.sinks.sqlite import SqliteSink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.pipeline.test_pipeline import LIMITS, NoMeaning, Recording, TurnedClock, append, opened
from tests.support.pipelines import NO_TICKS, all_done, running
from tests.support.witnesses import Tape, Told, Vm, parts

T0 = 1_780_000_000_000_000


class Lab:
    tick_seconds = TICK_SECONDS

    """A proxy whose exchanges are told by the tap alone, each in a batch of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.vm, self.sent = folder, TurnedClock(), Vm(), 0
        self.clock.now = T0
        migrate(f"sqlite:///{folder}/events.db")

    @asynccontextmanager
    async def running(self, sink: Any = None, **more: Any) -> AsyncIterator[tuple[SqliteJournal, Pipeline]]:
        journal = await opened(self.folder, self.clock)
        letters = SqlDeadLetters(open_engine(SinkSettings(url=f"sqlite:///{self.folder}/events.db")))
        whole = IsolatingSink(sink or SqliteSink(self.folder / "events.db"), letters, self.clock)
        chosen = {"batch": 7, "checkpoint_us": 10**15, "tick_seconds": self.tick_seconds, "checkpoint_bytes": 4_000, **more}
        correlator = Correlator(LIMITS._replace(expects_access_log=False))
        pipeline = Pipeline(journal, whole, correlator, NoMeaning(), self.clock, **chosen)
        async with running(journal, pipeline, whole):
            yield journal, pipeline

    async def send(self, journal: SqliteJournal, number: int) -> None:
        made = Tape()
        made.now = self.clock.now
        for _ in range(number):
            self.sent += 1
            made.tap(self.vm.seal(parts(Told(self.sent, request_id=f"r{self.sent}", start_us=T0 + self.sent, response=(b"y" * 50,)))), 0.01)
        await append(journal, self.clock, made.entries)

    async def sent_and_stored(self, number: int, **more: Any) -> None:
        async with self.running(**more) as (journal, pipeline):
            await self.send(journal, number)
            await all_done(pipeline, journal)

    def copy(self, name: str, to: str) -> None:
        shutil.copyfile(self.folder / name, self.folder / to)

    def rows(self, query: str) -> list[Any]:
        connection = sqlite3.connect(self.folder / "events.db")
        found = connection.execute(query).fetchall()
        connection.close()
        return found

    def stored(self) -> list[int]:
        return sorted(int(name[1:]) for (name,) in self.rows("SELECT request_id FROM exchanges WHERE NOT superseded"))

    def letters(self) -> list[str]:
        return [reason for (reason,) in self.rows("SELECT reason FROM dead_letters ORDER BY id")]

    def absences(self) -> list[str]:
        return [orjson.loads(data)["away"]["reason"] for (data,) in self.rows("SELECT data FROM ledger WHERE away_from_us IS NOT NULL")]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def test_an_older_copy_of_the_journal_takes_what_comes_and_says_what_happened(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    await lab.sent_and_stored(20)
    lab.copy("journal.db", "old.db")
    await lab.sent_and_stored(20)
    lab.copy("old.db", "journal.db")
    names = []
    for _ in range(2):  # the second start is an ordinary one
        async with lab.running() as (journal, pipeline):
            await lab.send(journal, 15)
            await all_done(pipeline, journal)
            names.append(journal.id)
    assert lab.stored() == list(range(1, 71))
    assert names[0] == names[1]
    assert len(lab.rows("SELECT journal FROM places")) == 2
    assert len(lab.letters()) == 1
    assert "lost its end, or is an older copy" in lab.letters()[0]
    assert lab.absences() == ["damaged"]
    assert [r.levelno for r in caplog.records if "lost its end" in r.message and r.name == "meshscribe.pipeline"] == [logging.ERROR]


class Away(SqliteSink):
    """Takes nothing."""

    async def high(self, journal: str) -> Place:
        raise RetryableError("away")


async def test_what_came_while_the_store_was_away_is_not_taken_for_what_was_there(lab: Lab, tmp_path: Path) -> None:
    """The process ends before the store says what it has; the next one finds a journal that is longer than the store's mark."""
    await lab.sent_and_stored(5)
    lab.copy("journal.db", "old.db")
    await lab.sent_and_stored(5)
    lab.copy("old.db", "journal.db")
    async with lab.running(Away(tmp_path / "events.db")) as (journal, _):
        await lab.send(journal, 20)
    await lab.sent_and_stored(5)
    assert lab.stored() == list(range(1, 36))


class Hanging(SqliteSink):
    """Hangs at one of its writes, before it begins."""

    def __init__(self, path: Path, write: int, reached: asyncio.Event) -> None:
        super().__init__(path)
        self._left, self._reached = write, reached

    async def write(self, journal: str, outputs: Any, high: Place) -> None:
        if self._left == 0:
            await _hang(self._reached)
        self._left -= 1
        await super().write(journal, outputs, high)


async def _hang(reached: asyncio.Event) -> None:
    reached.set()
    await asyncio.Event().wait()


WRITES = {"place": 0, "first write": 1}  # which of them is to hang


@pytest.mark.slow
@pytest.mark.parametrize("step", ["place", "rename", "renamed", "first write"])
async def test_a_crash_at_any_step_of_the_renaming_stores_everything_once(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    lab.tick_seconds = NO_TICKS
    await lab.sent_and_stored(10)
    lab.copy("journal.db", "old.db")
    await lab.sent_and_stored(10)
    lab.copy("old.db", "journal.db")
    reached, rename = asyncio.Event(), SqliteJournal.rename

    async def hanging(journal: SqliteJournal, name: str, incident: Incident) -> None:
        if step == "rename":
            await _hang(reached)
        await rename(journal, name, incident)
        if step == "renamed":
            await _hang(reached)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteJournal, "rename", hanging)
        async with lab.running(Hanging(tmp_path / "events.db", WRITES.get(step, -1), reached)) as (journal, _):
            await lab.send(journal, 10)
            async with asyncio.timeout(20):
                await reached.wait()
    again = list[Place]()
    await lab.sent_and_stored(10, sink=Recording(SqliteSink(tmp_path / "events.db"), again))
    assert min(again).position > 10, "what was stored under the old name is not stored under the new one"
    assert lab.stored() == list(range(1, 41))
    assert [reason for reason in lab.letters() if "lost its end" in reason] == lab.letters()
    assert len(lab.letters()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 1])
async def test_an_older_copy_of_the_store_is_noticed_and_what_the_journal_still_has_is_stored(lab: Lab, keep: int) -> None:
    await lab.sent_and_stored(10 + keep)
    lab.copy("events.db", "old-events.db")
    await lab.sent_and_stored(200)
    floor = _floor(lab)
    assert floor > 12, "the journal has forgotten entries that the old store does not have"
    lab.copy("old-events.db", "events.db")
    await lab.sent_and_stored(10)
    stored = lab.stored()
    assert stored[: 10 + keep] == list(range(1, 11 + keep))
    behind = stored[10 + keep :]
    assert behind == list(range(behind[0], 221 + keep)), "what is there from some exchange on is there without a hole"
    assert behind[0] <= floor + 2
    assert len(lab.letters()) == 1
    assert "the store is an older copy or a new one" in lab.letters()[0]
    assert lab.absences() == ["damaged"]


async def test_a_store_that_is_only_a_little_older_misses_nothing(lab: Lab) -> None:
    """The checkpoint before the newest is kept, with all that came since."""
    async with lab.running() as (journal, pipeline):
        await lab.send(journal, 60)
        await all_done(pipeline, journal)
    lab.copy("events.db", "old-events.db")
    async with lab.running(checkpoint_bytes=10**9) as (journal, pipeline):
        await lab.send(journal, 60)
        await all_done(pipeline, journal)
    lab.copy("old-events.db", "events.db")
    await lab.sent_and_stored(1)
    assert lab.stored() == list(range(1, 122))
    assert not lab.letters()


async def test_a_damaged_newest_checkpoint_costs_nothing(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    chance = Random(1)
    for _ in range(6):
        await lab.sent_and_stored(chance.randrange(5, 40), checkpoint_bytes=chance.randrange(1000, 6000))
    assert _floor(lab) > 0
    connection = sqlite3.connect(lab.folder / "journal.db")
    newest = connection.execute("SELECT max(id) FROM checkpoints WHERE complete").fetchone()[0]
    connection.execute(f"UPDATE checkpoint_chunks_{newest % 2} SET data = x'00' WHERE checkpoint = {newest}")
    connection.commit()
    connection.close()
    await lab.sent_and_stored(10)
    assert lab.stored() == list(range(1, lab.sent + 1))
    assert "is damaged: the one before is looked for" in caplog.text
    assert not lab.letters()


async def test_without_any_whole_checkpoint_the_state_is_made_anew_and_it_is_told(lab: Lab) -> None:
    await lab.sent_and_stored(100)
    connection = sqlite3.connect(lab.folder / "journal.db")
    for side in (0, 1):
        connection.execute(f"UPDATE checkpoint_chunks_{side} SET data = x'00'")
    connection.commit()
    connection.close()
    await lab.sent_and_stored(10)
    assert lab.stored() == list(range(1, 111))
    assert "no checkpoint up to position" in lab.letters()[0]


async def test_a_new_store_for_a_journal_that_has_forgotten_nothing_gets_all_of_it(lab: Lab) -> None:
    await lab.sent_and_stored(10, checkpoint_bytes=10**9)
    (lab.folder / "events.db").unlink()
    migrate(f"sqlite:///{lab.folder}/events.db")
    await lab.sent_and_stored(10)
    assert lab.stored() == list(range(1, 21))
    assert not lab.letters()


def _floor(lab: Lab) -> int:
    connection = sqlite3.connect(lab.folder / "journal.db")
    found = int(connection.execute("SELECT floor_position FROM meta").fetchone()[0])
    connection.close()
    return found


async def test_a_checkpoint_of_another_version_is_told_with_its_place_and_what_to_do(tmp_path: Path) -> None:
    """And no older one is taken: what that version stored since may have other places."""
    lab = Lab(tmp_path)
    journal, sink = await opened(tmp_path, lab.clock), SqliteSink(tmp_path / "events.db")
    await journal.settle()
    for position in (1, 2):
        await lab.send(journal, position)
        await sink.write(journal.id, [], Place(position, WHOLE))
    await journal.save_checkpoint(Checkpoint(1, Correlator(LIMITS).state() or b""))
    await journal.save_checkpoint(Checkpoint(2, msgspec.msgpack.encode({"format": 1})))
    made = Pipeline(
        journal,
        sink,
        Correlator(LIMITS),
        NoMeaning(),
        lab.clock,
        batch=7,
        checkpoint_us=10**15,
        checkpoint_bytes=4000,
        tick_seconds=NO_TICKS,
    )
    told = f"checkpoint of journal {journal.id} at position 2 is of no use here: it has format 1, .*run the version that made it again"
    with pytest.raises(DamagedError, match=told):
        await made.run()
    await sink.close()
    await journal.close()
