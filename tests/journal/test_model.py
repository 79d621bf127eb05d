"""Any sequence of appends, truncations, checkpoints, restarts and crashes gives what a list in memory would give."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collector import settings
from collector.journal import Checkpoint
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.entry import Kind
from tests.support.clocks import TurnedClock
from tests.support.effort import examples

KEEP = 200
PERCENT = st.integers(0, 110)  # of the journal's length
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.sampled_from([0, 10, 50, 150]), min_size=4, max_size=12)),
        st.tuples(st.just("clock"), st.integers(-50, 50)),
        st.tuples(st.just("truncate"), PERCENT),
        st.tuples(st.just("truncate"), PERCENT),
        st.tuples(st.just("checkpoint"), PERCENT),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("crash"), st.none()),
        st.tuples(st.just("read"), st.integers(1, 1000)),
    ),
    min_size=4,
    max_size=20,
)


@dataclass
class Model:
    """Everything ever appended, and up to where it may be gone."""

    payloads: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    truncated: int = 0
    kept_from: int = 1

    def truncate(self, up_to: int) -> None:
        up_to = min(up_to, len(self.payloads))
        if self.checkpoints:
            up_to = max((c.position for c in self.checkpoints if c.position <= up_to), default=0)
        self.truncated = max(self.truncated, up_to)
        while self.kept_from <= up_to and sum(map(len, self.payloads[self.kept_from : up_to])) >= KEEP:
            self.kept_from += 1
        self._retire()

    def save(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)
        self._retire()

    def _retire(self) -> None:
        usable = [c for c in self.checkpoints if c.position <= self.truncated]
        best = [max(usable[::-1], key=lambda c: c.position)] if usable else []
        self.checkpoints = [c for c in self.checkpoints if c in (best + self.checkpoints[-1:])]


class World:
    """The journal on a disk that can be copied as a crash would leave it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = TurnedClock()
        self.generation = 0

    @property
    def path(self) -> Path:
        return self.folder / str(self.generation) / "journal.db"

    async def open(self) -> SqliteJournal:
        return await open_journal(settings.Journal(path=self.path, keep_bytes=KEEP), self.clock, 64 << 20)

    async def crash(self, journal: SqliteJournal) -> SqliteJournal:
        before = self.path
        self.generation += 1
        self.path.parent.mkdir()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copyfile(before.with_name(name), self.path.with_name(name))
        await journal.close()
        return await self.open()


async def check(journal: SqliteJournal, model: Model, max_bytes: int) -> None:
    position, end = model.kept_from - 1, len(model.payloads)
    while position < end:
        for entry in await journal.read(position, max_bytes):
            position += 1
            assert (entry.position, entry.payload, entry.received_at) == (position, model.payloads[position - 1], model.times[position - 1])
    assert (journal.last_position, journal.floor_position) == (end, model.kept_from - 1)
    assert journal.kept_bytes == sum(map(len, model.payloads[model.kept_from - 1 :]))
    for at_most in range(end + 1):
        usable = [c for c in model.checkpoints if c.position <= at_most]
        newest = max(usable[::-1], key=lambda c: c.position) if usable else None
        assert await journal.checkpoint(at_most) == newest


async def play(folder: Path, steps: list[tuple[str, object]]) -> None:
    world, model = World(folder), Model()
    journal = await world.open()
    steps = [("append", [50] * 10), *steps, ("restart", None)]
    for number, (step, value) in enumerate(steps):
        match step, value:
            case "append", list(sizes):
                payloads = [b"%d" % number + bytes(size) for size in sizes]
                first = len(model.payloads) + 1
                model.payloads += payloads
                appended = await asyncio.gather(*(journal.append(Kind.TAP, "n", payload) for payload in payloads))
                assert appended == list(range(first, first + len(payloads)))
                assert journal.last_received_at >= max([world.clock.now, *model.times[-1:]])  # test_received_time.py has the rest
                model.times += [journal.last_received_at] * len(payloads)
            case "clock", int(change):
                world.clock.now += change
            case "truncate", int(percent):
                up_to = len(model.payloads) * percent // 100
                model.truncate(up_to)
                await journal.truncate(up_to)
            case "checkpoint", int(percent):
                checkpoint = Checkpoint(len(model.payloads) * min(percent, 100) // 100, b"%d" % number)
                model.save(checkpoint)
                await journal.save_checkpoint(checkpoint)
            case "restart", _:
                await journal.close()
                journal = await world.open()
            case "crash", _:
                journal = await world.crash(journal)
            case "read", int(max_bytes):
                await check(journal, model, max_bytes)
    await check(journal, model, 500)
    await journal.close()


@given(STEPS)
@hypothesis_settings(max_examples=examples(60))
def test_a_journal_is_a_list_that_survives(steps: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "0").mkdir()
        asyncio.run(play(Path(folder), steps))
