"""Whatever is damaged on the disk, no record is silently wrong, no healthy exchange is lost beside the damage, and it is named.

MESHSCRIBE_SOAK_DAMAGES sets how many the long form tries.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from collector.errors import DamagedError, RetryableError
from tests.faults.damage import EARLY, LATE, MORE, WAITING, Baseline, Damage, Lab, do_damage, make_baseline
from tests.support.witnesses import Vm

SOAK_DAMAGES = int(os.environ.get("MESHSCRIBE_SOAK_DAMAGES", "300"))
OF_A_PAGE = 14  # exchanges that one page of the journal or the store can hold, or a body's row
STUCK_SECONDS = 1.0
REFUSED, UNREADABLE = "refused, named", "store unreadable, named"


def ids(first: int, number: int) -> set[str]:
    return {f"r{n}" for n in range(first, first + number)}


class Trial:
    def __init__(self, folder: Path, baseline: Baseline, seed: int, log: list[str]) -> None:
        self.chance, self.baseline, self.log = random.Random(seed), baseline, log
        self.traffic = bool(seed % 2)
        shutil.copytree(baseline.late, folder)
        self.damage: Damage = do_damage(folder, baseline, self.chance)
        vm = Vm(sequence=EARLY + LATE + WAITING)
        self.lab = Lab(folder, vm, EARLY + LATE + WAITING)

    async def run(self) -> str:
        """What came of it. Raises AssertionError."""
        try:
            came = await self._started()
        except (DamagedError, RetryableError) as error:
            return self._refused(error)
        said = await self.lab.findings()
        try:
            served, damaged = await self.lab.served()
        except Exception as error:  # noqa: BLE001 - a store that cannot be read is told by whoever reads it
            return self._unreadable(said, error)
        return self._judged(came, served, damaged, said)

    def _refused(self, error: Exception) -> str:
        assert str(self.lab.folder) in str(error), f"the refusal names no file: {error}"
        return REFUSED

    def _unreadable(self, said: list[str], error: Exception) -> str:
        assert said, f"verify says nothing of {error!r}"
        return UNREADABLE

    async def _started(self) -> str:
        async with self.lab.running() as (journal, pipeline, _):
            if self.traffic:
                await self.lab.send(journal, MORE)
            done = False
            for _ in range(20):
                done = await pipeline.drained(journal.last_position, STUCK_SECONDS / 20 if pipeline.failing else STUCK_SECONDS)
                if done or pipeline.failing:
                    break
            assert done or pipeline.failing, "it neither goes on nor says why"
            return "waits, and says so" if not done else ""

    def _judged(self, came: str, served: dict[str, str], damaged: set[str], said: list[str]) -> str:
        wrong = [name for name, text in served.items() if text != self.baseline.expected.get(name) and "complete" in _flags(text)]
        assert not wrong, f"silently wrong: {wrong}"
        due = ids(1, EARLY + LATE + WAITING + (MORE if self.traffic else 0))
        lost = due - served.keys()
        told = said or any("ERROR" in line for line in self.log)
        if came:
            assert said, "verify says nothing of a store that takes nothing"
            return came
        if lost or damaged:
            assert told, f"{len(lost)} are lost, and nobody says so"
        assert len(lost) <= self._bound(), f"lost beyond the damage: {sorted(lost)}"
        if self.traffic:
            fresh = ids(EARLY + LATE + WAITING + 1, MORE)
            assert len(fresh - served.keys()) <= (OF_A_PAGE if self.damage.file.startswith("events") else 0), "what came after is lost"
        return "something lost, told" if lost else "nothing lost, told" if told else "nothing lost"

    def _bound(self) -> int:
        if self.damage.kind == "cut":
            return LATE + WAITING  # what stood behind the cut
        if self.damage.kind == "older":
            return WAITING if self.damage.file == "journal.db" else LATE
        return (
            OF_A_PAGE if self.damage.file != "events.db-wal" else LATE + WAITING
        )  # SQLite forgets what lies behind, and the journal is asked


def _flags(text: str) -> str:
    return text.partition('"completeness":[')[2].partition("]")[0]


async def damages(folder: Path, number: int, caplog: pytest.LogCaptureFixture, first: int = 0) -> Counter[tuple[str, str, str]]:
    baseline = await make_baseline(folder)
    found: Counter[tuple[str, str, str]] = Counter()
    for seed in range(first, first + number):
        caplog.clear()
        trial = Trial(folder / "trial", baseline, seed, [])
        trial.log = _Lines(caplog)
        try:
            found[trial.damage.file, trial.damage.kind, await trial.run()] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, {trial.damage}, traffic {trial.traffic}: {error!r}") from error
        shutil.rmtree(folder / "trial")
    return found


class _Lines(list[str]):
    """The log's lines, as they are when they are looked at."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        super().__init__()
        self._caplog = caplog

    def __iter__(self):  # type: ignore[no-untyped-def]
        return (f"{record.levelname} {record.getMessage()}" for record in self._caplog.records)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_damage_is_silent_and_none_costs_more_than_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = await damages(tmp_path, 20, caplog)
    assert found.total() == 20
    given_up = sum(times for (_, _, came), times in found.items() if came in (REFUSED, UNREADABLE))
    assert given_up < 10, f"most are started, read and compared: {found}"


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_no_damage_is_silent_in_the_long_form(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = await damages(tmp_path, SOAK_DAMAGES, caplog, first=1000)
    for (file, kind, came), times in sorted(found.items()):
        print(f"{file:16} {kind:10} {came:26} {times}")
