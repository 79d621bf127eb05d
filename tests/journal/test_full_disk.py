"""A disk that takes nothing: the process starts all the same, compares with the right end, and is ready when appends work, not before."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from collector.errors import DiskError, JournalFullError
from collector.journal import Checkpoint, disk, reader, standing
from collector.journal.reader import Reader
from collector.journal.rows import Place
from collector.messages.entry import Kind
from tests.journal.conftest import Open
from tests.journal.test_damage import change, filled
from tests.pipeline.test_resuming import Lab

REFUSAL = "no room for it"


def refuse(path: Path, what: str) -> None:
    change(path, f"CREATE TRIGGER refusal BEFORE {what} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END")


def take_again(path: Path) -> None:
    change(path, "DROP TRIGGER refusal")


@pytest.fixture
def unnoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end that is found at opening cannot be noted."""

    def full(connection: sqlite3.Connection, end: Place) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(standing, "note_opened", full)


@pytest.mark.usefixtures("unnoted")
async def test_the_end_to_compare_with_is_that_at_opening_although_it_could_not_be_noted(open_at: Open) -> None:
    await filled(open_at, 3)
    journal = await open_at()
    await journal.append(Kind.TAP, "n", b"x")
    assert (await journal.standing()).end == 3
    await journal.settle()
    assert (await journal.standing()).end == 4


@pytest.mark.usefixtures("unnoted")
async def test_a_comparison_of_which_nothing_is_noted_ends_without_a_write(path: Path, open_at: Open) -> None:
    journal = await open_at()
    refuse(path, "UPDATE ON meta")
    await journal.settle()


async def test_pieces_of_a_checkpoint_that_found_no_room_do_not_keep_the_file_from_being_opened(path: Path, open_at: Open) -> None:
    await filled(open_at, 3)
    change(path, "INSERT INTO checkpoints VALUES (7, 3, 0, 0)")
    change(
        path, "CREATE TRIGGER refusal BEFORE DELETE ON checkpoints BEGIN DELETE FROM missing; END"
    )  # an OperationalError, as is a full disk
    assert await (await open_at()).append(Kind.TAP, "n", b"x") == 4


@pytest.mark.slow
@pytest.mark.parametrize("what", ["UPDATE OF id ON meta", "INSERT ON incidents", "UPDATE OF unchecked ON meta"])
async def test_a_process_whose_journal_can_note_nothing_stays_says_so_and_goes_on(tmp_path: Path, what: str) -> None:
    lab = Lab(tmp_path)
    await lab.sent_and_stored(10)
    lab.copy("journal.db", "old.db")
    await lab.sent_and_stored(10)
    lab.copy("old.db", "journal.db")
    async with lab.running() as (journal, pipeline):
        refuse(tmp_path / "journal.db", what)
        await lab.send(journal, 10)
        async with asyncio.timeout(30):
            while pipeline.failing is None:
                await asyncio.sleep(0.01)
        assert REFUSAL in pipeline.failing
        assert lab.stored() == list(range(1, 21))
        take_again(tmp_path / "journal.db")
        assert await pipeline.drained(journal.last_position, 30)
        assert pipeline.failing is None
    await lab.sent_and_stored(10)
    assert lab.stored() == list(range(1, 41))
    assert ["lost its end" in reason for reason in lab.letters()] == [True]


async def test_a_checkpoint_that_cannot_be_read_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path)
    await lab.sent_and_stored(10)
    read, silences = Reader.checkpoint, []

    async def refused(reader: Reader, at_most: int) -> Checkpoint | None:
        silences.append(pipeline._waiting.seconds)
        if len(silences) < 3:
            raise JournalFullError("no space left for the log's index")
        return await read(reader, at_most)

    monkeypatch.setattr(Reader, "checkpoint", refused)
    async with lab.running() as (journal, pipeline):
        await lab.send(journal, 10)
        assert await pipeline.drained(journal.last_position, 30)
    assert lab.stored() == list(range(1, 21))
    assert silences == [0.0] * 3, "the sink is not waited for"


async def test_shares_start_empty_where_there_is_no_room_to_sort(open_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(reader, "read_holdings", full)
    assert await (await open_at()).holdings() == []


def test_that_the_disk_is_full_is_said_where_it_keeps_the_file_from_being_opened(path: Path) -> None:
    """Not even the index of the log finds room; a limit on the size of files is to SQLite what a full disk is."""
    code = (
        "import resource, sys; from pathlib import Path; from collector.journal.file import open_file; path = Path(sys.argv[1]);"
        "opened = open_file(path); opened.connection.close(); __import__('os').close(opened.lock);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY)); open_file(path)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.rstrip().endswith(f"{path} cannot be opened: no space left on the disk")


async def test_while_appends_fail_no_other_write_makes_it_ready(
    path: Path, open_at: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tries = []
    touch = disk._touch
    monkeypatch.setattr(disk, "_touch", lambda connection: (tries.append(1), touch(connection)))
    journal = await open_at()
    refuse(path, "INSERT ON entries")
    with pytest.raises(DiskError):
        await journal.append(Kind.TAP, "n", b"x")
    async with asyncio.timeout(30):
        while len(tries) < 3:
            assert REFUSAL in (journal.fault or "")
            await asyncio.sleep(0.005)
    await journal.standing()  # another write works
    assert REFUSAL in (journal.fault or "")
    assert "works again" not in caplog.text
    take_again(path)
    async with asyncio.timeout(30):
        while journal.fault is not None:
            await asyncio.sleep(0.005)
    assert await journal.append(Kind.TAP, "n", b"x") == 1
    assert [entry.payload for entry in await journal.read(0, 1000)] == [b"x"]
    assert "works again" in caplog.text
