"""A store's damaged file or log: told before it is gone, kept, and no reason for the process to end."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from collector.audit.moments import Span
from collector.errors import RetryableError
from collector.settings import Journal, Settings, Sink
from collector.sqlite import wal
from collector.store.engine import prepare_to_write
from collector.store.migrate import migrate
from collector.upkeep.verify.all import verify
from tests.support.clocks import TurnedClock
from tests.support.copying import Copying

HEADER, FRAME = 32, 24 + 16_384
NOTE = "INSERT INTO places (journal, position, ordinal) VALUES (?, 1, 0)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store as a killed writer left it, with all of what it wrote in the log."""
    made = tmp_path / "made" / "events.db"
    migrate(f"sqlite:///{made}")
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        for number in range(20):
            connection.execute(NOTE, (f"j{number}",))
        shutil.copytree(made.parent, tmp_path / "killed", ignore=shutil.ignore_patterns("*-shm"))
    return tmp_path / "killed" / "events.db"


def damage(log: Path, frame: int) -> bytes:
    data = bytearray(log.read_bytes())
    data[HEADER + frame * FRAME + 500] ^= 1
    log.write_bytes(data)
    return bytes(data)


def copies(path: Path) -> list[Path]:
    return list(path.parent.glob("events.db-wal.damaged-*"))


async def test_a_damaged_log_is_told_and_kept_before_the_tables_are_looked_at(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = damage(wal.log_of(path), 4)
    for _ in range(2):
        await prepare_to_write(Sink(url=f"sqlite:///{path}"))
    [copy] = copies(path)
    assert copy.read_bytes() == data
    assert [f"{wal.log_of(path)} is damaged in or behind frame 5 (byte 65664)" in record.getMessage() for record in caplog.records] == [
        True
    ]


async def test_a_log_that_is_whole_is_not_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await prepare_to_write(Sink(url=f"sqlite:///{path}"))
    assert (copies(path), caplog.text) == ([], "")


async def test_verify_names_a_damaged_log_and_leaves_it(path: Path) -> None:
    data = damage(wal.log_of(path), 4)
    settings = Settings(sink=Sink(url=f"sqlite:///{path}"), journal=Journal(path=path.with_name("none.db")))
    for _ in range(2):
        found = [one async for one in verify(settings, Span(None, None), TurnedClock(1)) if not one.ok]
        assert [(one.check, one.subject) for one in found] == [("store", f"{wal.log_of(path)} (frames)")]
        assert "damaged in or behind frame 5" in found[0].said
        assert wal.log_of(path).read_bytes() == data


@pytest.mark.slow
def test_what_another_is_writing_is_no_damage(path: Path) -> None:
    ending = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
            number = 0
            while not ending.is_set():
                connection.execute(NOTE, (f"more{number}",))
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert [wal.look(path) for _ in range(100)] == [None] * 100
    finally:
        ending.set()
        writer.join()


async def test_a_damaged_log_of_which_no_copy_can_be_kept_is_not_given_up(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = damage(wal.log_of(path), 4)
    in_the_way = path.with_name("events.db-wal.part")
    in_the_way.mkdir()
    for _ in range(2):
        with pytest.raises(RetryableError, match=r"frame 5 .* no copy of it can be kept: make room"):
            await prepare_to_write(Sink(url=f"sqlite:///{path}"))
        assert wal.log_of(path).read_bytes() == data
    assert "a copy is kept as" not in caplog.text
    in_the_way.rmdir()
    await prepare_to_write(Sink(url=f"sqlite:///{path}"))
    [copy] = copies(path)
    assert copy.read_bytes() == data
    assert f"a copy is kept as {copy}" in caplog.text


@pytest.mark.slow  # it is waited for, 5 s
async def test_a_damaged_log_that_another_copies_is_told_when_that_has_ended(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = damage(wal.log_of(path), 4)
    with Copying(path) as copying:
        copying.begin()
        with pytest.raises(RetryableError, match=r"events\.db: its log cannot be looked at while another process copies it"):
            wal.tell_behind(path)
        assert wal.log_of(path).read_bytes() == data
        with copying.ends_soon():
            wal.tell_behind(path)
    [copy] = copies(path)
    assert copy.read_bytes() == data
    assert "is damaged in or behind frame 5 " in caplog.text


def test_a_log_that_cannot_be_looked_at_is_not_taken_for_whole(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(wal.log_of(path), 4)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        wal.tell_behind(path)
    assert f"{path}: whether its log is damaged is not known, it cannot be looked at: database is locked" in caplog.text


@pytest.mark.parametrize("table", ["alembic_version", "exchanges", "places"])
async def test_a_damaged_page_does_not_keep_serve_from_going_on(path: Path, table: str, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    await prepare_to_write(Sink(url=f"sqlite:///{path}"))
    if table == "alembic_version":
        assert f"{path}: the file is damaged (database disk image is malformed)" in caplog.text
