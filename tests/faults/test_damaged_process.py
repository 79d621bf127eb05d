"""The running process on damaged files: no record is silently wrong, none is lost beside the damage, log and `verify` name the place.

MESHSCRIBE_SOAK_DAMAGES sets how many the long form tries. What needs no process is damaged more often in test_damage.py.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.demo.child import ChildError
from tests.faults.damaged_files import EARLY, LATE, WAITING, Baseline, Damage, do_damage, make_baseline
from tests.faults.damaged_process import Process, Seen
from tests.fuzz.neighbour import Case
from tests.support.waits import until

SOAK_DAMAGES = int(os.environ.get("MESHSCRIBE_SOAK_DAMAGES", "300"))
PER_BASELINE = 25
MORE = 8  # exchanges that come after
SHORT = 6
OF_A_PAGE = 14  # exchanges that one page of the journal or the store can hold, or their bodies
PLACE = re.compile(r"position|frame \d|(journal|events)\.db|[0-9a-f]{8}-[0-9a-f]{4}-7")
pytestmark = pytest.mark.slow


class Trial:
    """One damage, and a process that is started on it; every second one gets traffic, every third is killed and started once more."""

    def __init__(self, folder: Path, baseline: Baseline, seed: int, stack: ExitStack) -> None:
        self.traffic, self.again = bool(seed % 2), seed % 3 == 0
        self.baseline = baseline
        self.damage: Damage = do_damage(folder, baseline, random.Random(seed))
        self.process = Process(folder, stack)
        self.cases: dict[str, Case] = dict(baseline.cases)
        self.fresh: set[str] = set()

    def run(self) -> str:
        """What came of it. Raises AssertionError."""
        try:
            self.process.start()
        except ChildError as error:
            return self._refused(str(error))
        if self.traffic:
            fresh = self.process.send(MORE, EARLY + LATE + WAITING)
            self.cases |= fresh
            self.fresh = set(fresh)
        waits = self.process.settled()
        seen = self._seen()
        came = self._judged(waits, seen)
        if self.again and not waits and not seen.error:
            self._once_more(seen)
        return came

    def _refused(self, error: str) -> str:
        last = error.splitlines()[-1]
        assert "Traceback" not in error
        assert f"{self.process.folder}/{self.damage.database}" in last, f"the refusal does not name the file: {last}"
        self._named(self.process.verified(), "verify")
        return "refused, named"

    def _seen(self) -> Seen:
        return self.process.seen(self.cases, [record["id"] for record in self.baseline.expected.values()])

    def _judged(self, waits: str, seen: Seen) -> str:
        said, log = self.process.verified(), self.process.log()
        self._right(seen)
        assert len(self.fresh) == MORE * self.traffic or waits.startswith("journal"), "what comes is not taken, and /readyz does not say so"
        if waits:
            assert self.damage.database in waits, f"/readyz does not name the file: {waits}"
        if waits or seen.error:
            self._named(said, "verify")
            self._named(log, "the log")
            return "waits, named" if waits else "not all can be read, named"
        lost = self.cases.keys() - seen.sound.keys() - seen.damaged
        if lost:
            self._named(log, "the log")
        if lost or seen.damaged:
            self._named(said, "verify")
        assert len(lost) + len(seen.damaged) <= self._bound(), f"lost beyond the damage: {sorted(lost)}, damaged {sorted(seen.damaged)}"
        if not self.damage.database.startswith("events"):
            assert not self.fresh & lost, "what came after is lost"
        return "something lost, named" if lost or seen.damaged else "nothing lost, named" if said or log else "nothing lost"

    def _right(self, seen: Seen) -> None:
        assert not seen.wrong, f"silently wrong: {seen.wrong}"
        expected = self.baseline.expected
        other = [
            name for name, record in seen.sound.items() if "complete" in record["completeness"] and expected.get(name, record) != record
        ]
        assert not other, f"silently other than if nothing were damaged: {other}"

    def _named(self, said: list[str], who: str) -> None:
        assert any(PLACE.search(line) for line in said), f"{who} names no place: {said}"

    def _once_more(self, before: Seen) -> None:
        self.process.member.process.kill()
        self.process.start()
        assert self.process.settled() == ""
        seen = self._seen()
        self._right(seen)
        assert (seen.sound.keys(), seen.damaged) == (before.sound.keys(), before.damaged), "another start changes it"

    def _bound(self) -> int:
        if self.damage.kind == "older":
            return WAITING if self.damage.database == "journal.db" else LATE
        if self.damage.kind == "cut" or self.damage.file == "events.db-wal":  # what stood behind it
            return LATE + WAITING
        return OF_A_PAGE


def damages(folder: Path, seeds: range, baseline: Baseline) -> Counter[tuple[str, str, str]]:
    """What came of each, by file and kind. Many are done to a baseline of their own."""
    found: Counter[tuple[str, str, str]] = Counter()
    for number, seed in enumerate(seeds):
        if number and number % PER_BASELINE == 0:
            baseline = make_baseline(folder / f"base{number}")
        with ExitStack() as stack:
            trial = Trial(folder / "trial", baseline, seed, stack)
            try:
                found[trial.damage.file, trial.damage.kind, trial.run()] += 1
            except Exception as error:
                raise AssertionError(f"seed {seed}, {trial.damage}, traffic {trial.traffic}: {error}") from error
        shutil.rmtree(folder / "trial")
    return found


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    return make_baseline(tmp_path_factory.mktemp("damaged") / "base")


@pytest.mark.timeout(600)
def test_where_no_copy_of_the_stores_log_can_be_kept_the_journal_takes_what_comes(tmp_path: Path, baseline: Baseline) -> None:
    folder = tmp_path / "trial"
    shutil.copytree(baseline.killed, folder)
    log, in_the_way = folder / "events.db-wal", folder / "events.db-wal.part"
    data = bytearray(log.read_bytes())
    data[32 + 500] ^= 1
    log.write_bytes(data)
    in_the_way.mkdir()
    with ExitStack() as stack:
        process = Process(folder, stack)
        process.start()
        sent = process.send(MORE, EARLY + LATE + WAITING)
        assert len(sent) == MORE
        assert until(lambda: [line for line in process.log() if "no copy of it can be kept: make room" in line], bool)
        assert process.member.components()["pipeline"]["detail"] == "starting"
        assert log.read_bytes() == data
        in_the_way.rmdir()
        assert process.settled() == ""
        assert sent.keys() <= process.seen({**baseline.cases, **sent}).sound.keys()
    [copy] = folder.glob("events.db-wal.damaged-*")
    assert copy.read_bytes() == data


@pytest.mark.timeout(600)
def test_no_damage_is_silent_to_who_asks_the_process(tmp_path: Path, baseline: Baseline) -> None:
    found = damages(tmp_path, range(SHORT), baseline)
    assert found.total() == SHORT


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_no_damage_is_silent_to_who_asks_the_process_in_the_long_form(tmp_path: Path, baseline: Baseline) -> None:
    found = damages(tmp_path, range(1000, 1000 + SOAK_DAMAGES), baseline)
    for (file, kind, came), times in sorted(found.items()):
        print(f"{file:16} {kind:10} {came:28} {times}")
