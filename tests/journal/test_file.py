"""Opening the file: whose it is, who may read it, who holds it, and what is wrong with it."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from collector import settings
from collector.errors import DamagedError, RetryableError, SettingsError
from collector.journal.file import open_file
from collector.journal.sqlite import open_journal
from collector.messages.entry import Kind
from tests.journal.conftest import Open
from tests.support.clocks import TurnedClock

OPEN_AND_WAIT = """
import sys
from pathlib import Path
from collector.journal.file import open_file
opened = open_file(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_folder_and_files_are_made_for_their_owner_only(tmp_path: Path, open_at: Open) -> None:
    path = tmp_path / "new" / "deep" / "journal.db"
    await (await open_at(path)).append(Kind.TICK, "", b"")
    modes = {p.name: oct(mode(p)) for p in path.parent.iterdir()}
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"), "0o600")
    assert mode(path.parent) == 0o700


async def test_an_empty_file_becomes_a_journal(path: Path, open_at: Open) -> None:
    path.write_bytes(b"")
    assert await (await open_at()).append(Kind.TICK, "", b"") == 1


async def test_a_file_whose_creation_was_cut_short_becomes_a_journal(path: Path, open_at: Open) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert await (await open_at()).append(Kind.TICK, "", b"") == 1


async def test_closing_leaves_one_file_and_the_lock(path: Path, open_at: Open) -> None:
    journal = await open_at()
    await journal.append(Kind.TICK, "", b"")
    await journal.close()
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedError, match="something else"):
        open_file(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


async def test_a_newer_version_is_refused(path: Path, open_at: Open) -> None:
    await (await open_at()).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DamagedError, match="version 99"):
        open_file(path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"these are not pages" * 100)
    with pytest.raises(DamagedError, match=r"journal\.db is damaged"):
        open_file(path)
    assert path.read_bytes() == b"these are not pages" * 100


async def test_the_unreleased_first_version_is_refused_with_what_to_do(path: Path, open_at: Open) -> None:
    await (await open_at()).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(DamagedError, match=r"version 1, this program reads 3: use the program that wrote it, or move the file away"):
        open_file(path)


async def test_a_refused_file_is_not_kept_locked(path: Path, open_at: Open) -> None:
    path.write_bytes(b"these are not pages" * 100)
    with pytest.raises(DamagedError):
        open_file(path)
    path.unlink()
    assert await (await open_at()).append(Kind.TICK, "", b"") == 1


async def test_the_same_file_cannot_be_opened_twice(open_at: Open) -> None:
    await open_at()
    with pytest.raises(RetryableError, match="in use by process"):
        await open_at()


def test_another_process_is_named_and_its_death_frees_the_file(path: Path) -> None:
    command = [sys.executable, "-c", OPEN_AND_WAIT, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(RetryableError, match=f"in use by process {other.pid}"):
            open_file(path)
        other.kill()
        other.wait()
    opened = open_file(path)
    opened.connection.close()


async def test_more_to_keep_than_half_of_the_quota_is_a_fault_of_the_settings(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"journal\.keep_bytes"):
        await open_journal(settings.Journal(path=path, quota_bytes=2 << 20, keep_bytes=(1 << 20) + 1), TurnedClock(), 1 << 20)


async def test_an_unfinished_checkpoint_is_gone_after_reopening(path: Path, open_at: Open) -> None:
    await (await open_at()).close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO checkpoints (position, complete, crc) VALUES (0, 0, 0)")
    connection.execute("INSERT INTO checkpoint_chunks_1 VALUES (1, 0, x'00')")
    connection.commit()
    connection.close()
    journal = await open_at()
    assert await journal.checkpoint(10) is None
    await journal.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM checkpoint_chunks_1").fetchone() == (0,)
    connection.close()


async def test_whose_the_entries_are_is_known_after_a_restart(open_at: Open) -> None:
    journal = await open_at()
    assert list(await journal.holdings()) == []
    for number in range(1, 13):
        await journal.append(Kind.TAP, f"n{number % 3}", bytes(number), sender="s")
    await journal.truncate(3)
    await journal.close()
    found = await (await open_at()).holdings()
    assert sum(size for *_, size in found) == sum(range(4, 13))
    assert {key: sum(size for _, *whose, size in found if tuple(whose) == key) for _, *key_, _ in found for key in [tuple(key_)]} == {
        ("n0", "s"): 27,
        ("n1", "s"): 21,
        ("n2", "s"): 24,
    }
    assert sorted(position for position, *_ in found) == [position for position, *_ in found]
    assert max(position for position, *_ in found) == 12
