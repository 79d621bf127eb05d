"""Files as a running `meshscribe serve` left them, and ways to damage one of them."""

from __future__ import annotations

import random
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from collector.demo.audit import Record
from tests.faults.damage import in_a_checkpoint, spoil
from tests.faults.damaged_process import Process
from tests.faults.test_hung_store import locked
from tests.fuzz.neighbour import Case

EARLY, LATE, WAITING = 20, 20, 20
PAGES = {"journal": 8192, "events": 16_384}
SIGNS = (rb"neighbour-0\.good", rb"org\.kubeflow", rb"choices", rb"chat/completions")


class Baseline(NamedTuple):
    """Folders: files of a collector that stopped early, and of one that was killed, or stopped, while its store was away.

    `mid`: logs (-wal) as they were meanwhile. `expected`: what is served of the killed one's if nothing is damaged.
    """

    early: Path
    mid: Path
    killed: Path
    stopped: Path
    cases: dict[str, Case]
    expected: dict[str, Record]


def make_baseline(folder: Path) -> Baseline:
    """Some of it is stored, with checkpoints, some waits in the journal."""
    early, mid, killed, stopped, work = (folder / name for name in ("early", "mid", "killed", "stopped", "work"))
    work.mkdir(parents=True)
    with ExitStack() as stack:
        process = Process(work, stack)
        process.start()
        cases = process.send(EARLY, 0)
        assert process.settled() == ""
        process.member.process.stop()
        _copy(work, early)
        process.start()
        cases |= process.send(LATE // 2, EARLY)
        assert process.settled() == ""
        _copy(work, mid)
        cases |= process.send(LATE - LATE // 2, EARLY + LATE // 2)
        assert process.settled() == ""
        with locked(work / "events.db"):
            cases |= process.send(WAITING, EARLY + LATE)
            process.member.process.kill()
            _copy(work, killed)  # the store's log is there as long as the lock is
        with locked(work / "events.db"):
            process.start()
            process.member.process.stop()
        _copy(work, stopped)
        return Baseline(early, mid, killed, stopped, cases, _calm(folder / "calm", killed, cases, stack))


def _calm(folder: Path, killed: Path, cases: dict[str, Case], stack: ExitStack) -> dict[str, Record]:
    _copy(killed, folder)
    process = Process(folder, stack)
    process.start()
    assert process.settled() == ""
    sound, damaged, wrong, error = process.seen(cases)
    assert (damaged, wrong, error, process.verified()) == (set(), [], "", [])
    assert sound.keys() == cases.keys()
    return sound


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm", "*.log", "*.lock"))


class Damage(NamedTuple):
    """What was done to which file of which files."""

    state: str
    file: str
    kind: str
    at: int
    where: str

    @property
    def database(self) -> str:
        return "events.db" if self.file.startswith("events") else "journal.db"


def do_damage(folder: Path, baseline: Baseline, chance: random.Random) -> Damage:
    """Puts files into this folder, one of them damaged by chance."""
    state = chance.choice(["killed", "stopped"])
    _copy(getattr(baseline, state), folder)
    kind = chance.choice(["flip", "flip", "zero page", "cut", "older"])
    name = chance.choice(["journal.db", "journal.db-wal", "events.db", "events.db-wal", "checkpoint"])
    if kind == "older":
        return Damage(state, *_older(folder, baseline, name, chance))
    if name.endswith("-wal") and not (folder / name).exists():
        name = name.removesuffix("-wal")
    if name == "checkpoint" and state == "killed":
        name = "journal.db"
    file = "journal.db" if name == "checkpoint" else name
    data = bytearray((folder / file).read_bytes())
    at = in_a_checkpoint(folder, data, chance) if name == "checkpoint" else _anywhere(data, chance)
    page = PAGES[file.partition(".")[0]]
    at = spoil(data, kind, at, page, chance)
    (folder / file).write_bytes(data)
    return Damage(state, name, kind, at, f"page {at // page + 1}")


def _anywhere(data: bytes, chance: random.Random) -> int:
    """A place, more often than not near something that is of an exchange: most of a small store is empty."""
    if chance.random() < 0.3:
        return chance.randrange(len(data))
    near = [found.start() for found in re.finditer(chance.choice(SIGNS), data)]
    at = (chance.choice(near) if near else chance.randrange(len(data))) + chance.randrange(-300, 600)
    return min(max(at, 0), len(data) - 1)


def _older(folder: Path, baseline: Baseline, name: str, chance: random.Random) -> tuple[str, str, int, str]:
    """A file as it was earlier: with its log as it is, without, or a log alone."""
    file = "journal.db" if name.startswith(("journal", "check")) else "events.db"
    log = folder / f"{file}-wal"
    if name.endswith("-wal") and (older := baseline.mid / log.name).exists():
        shutil.copyfile(older, log)
        return log.name, "older", 0, "the log alone"
    shutil.copyfile(baseline.early / file, folder / file)
    if chance.random() < 0.7:
        log.unlink(missing_ok=True)
        return file, "older", 0, "without its log"
    return file, "older", 0, "its log stays"
