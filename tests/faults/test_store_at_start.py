"""A store whose first bytes are destroyed, or that finds no room, when the process starts.

The process takes what comes, says what is wrong, and goes on by itself when the file is put right.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.test_hung_store import metric
from tests.faults.test_machine import PATIENCE, Sender, full, in_sqlite, small_disk
from tests.support import warm_start
from tests.support.cluster import SCRIPT, Member, collector_alone
from tests.support.waits import until

HEAD = 100  # bytes of an SQLite file that say that it is one
WAITING = re.compile(r"events\.db is damaged in its first bytes.*put a backup in its place, or move .*events\.db\* away")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def put_back(folder: Path) -> None:
    (folder / "events.db").write_bytes((folder / "backup.db").read_bytes())


def put_in_its_place(folder: Path) -> None:
    (folder / "backup.db").rename(folder / "events.db")


def move_away(folder: Path) -> None:
    for file in folder.glob("events.db*"):
        file.rename(folder / f"moved-{file.name}")


def destroyed(folder: Path, stack: ExitStack) -> tuple[Member, Sender]:
    """A collector whose store had one exchange and then lost its head, with a backup that is sound; it listens."""
    collector = collector_alone(folder, stack, {"MESHSCRIBE_SINK__URL": f"sqlite:///{folder}/events.db"})
    sender = Sender(collector)
    assert sender.send() == 200
    assert until(lambda: in_sqlite(folder / "events.db"), bool, PATIENCE)
    collector.process.stop()
    shutil.copy(folder / "events.db", folder / "backup.db")
    with (folder / "events.db").open("r+b") as file:
        file.write(b"\xa5" * HEAD)
    collector.start("readyz/ingest")
    return collector, sender


def says(collector: Member, command: str) -> tuple[int, str]:
    environment = {**os.environ, **collector.process._environment, "MESHSCRIBE_URL": collector.url}
    done = warm_start.run([SCRIPT, *command.split()], env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("mend", [put_back, put_in_its_place, move_away])
def test_a_store_without_its_first_bytes_is_told_and_gone_on_with_when_it_is_put_right(
    tmp_path: Path, stack: ExitStack, mend: Callable[[Path], None]
) -> None:
    collector, sender = destroyed(tmp_path, stack)
    assert sender.send() == 200, "what comes is taken"
    sink = until(lambda: collector.components().get("sink", {}), bool, PATIENCE)
    assert not sink["ok"]
    assert WAITING.search(sink["detail"]), sink
    assert metric(collector, "meshscribe_sink_failing") == 1
    assert WAITING.search((tmp_path / "collector.log").read_text())
    mend(tmp_path)
    assert until(lambda: collector.ready, bool, PATIENCE), collector.components()
    assert sender.send() == 200
    wanted = sender.acknowledged if mend is not move_away else sender.acknowledged - {"m-1"}
    assert until(lambda: in_sqlite(tmp_path / "events.db"), lambda found: found >= wanted, PATIENCE) >= wanted
    assert metric(collector, "meshscribe_sink_failing") == 0


COMMANDS = {
    "query": (3, r"events\.db is damaged in its first bytes"),
    "verify": (1, r"events\.db.*its first bytes are damaged, or it was never a store: put a backup in its place"),
    "retention --keep 30d": (2, r"events\.db.*file is not a database.*`meshscribe verify`"),
    "migrate": (2, r"events\.db is damaged in its first bytes"),
    "config check --connect": (2, r"FAILS.*events\.db.*is no SQLite file"),
    "dead-letters list": (2, r"dead letters: .*the store's file is damaged, `meshscribe verify`"),
}


def test_each_command_says_in_a_sentence_that_the_store_is_none(tmp_path: Path, stack: ExitStack) -> None:
    collector, _ = destroyed(tmp_path, stack)
    assert until(lambda: collector.components().get("sink"), bool, PATIENCE)
    for command, (code, sentence) in COMMANDS.items():
        found, said = says(collector, command)
        assert (found, bool(re.search(sentence, said))) == (code, True), f"{command}: {found}: {said}"


def test_a_store_that_finds_no_room_at_the_start_is_waited_for(tmp_path: Path, stack: ExitStack) -> None:
    disk = stack.enter_context(small_disk(tmp_path / "disk"))
    with full(disk):
        settings = {"MESHSCRIBE_SINK__URL": f"sqlite:///{disk}/events.db"}
        collector = collector_alone(tmp_path, stack, settings, "readyz/ingest")
        sender = Sender(collector)
        assert sender.send() == 200
        sink = until(lambda: collector.components().get("sink", {}), bool, PATIENCE)
        assert re.search(r"events\.db.*(full|space|I/O)", sink["detail"]), sink
    assert until(lambda: collector.ready, bool, PATIENCE), collector.components()
    assert until(lambda: in_sqlite(disk / "events.db"), lambda found: found >= sender.acknowledged, PATIENCE) >= sender.acknowledged
