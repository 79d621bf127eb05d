"""The journal's file gives back what an outage of the store made it grow to, and loses nothing by it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from collector.journal import Checkpoint
from collector.journal.sqlite import SqliteJournal
from collector.journal.truncation import FREE_BYTES, LEFT_BYTES
from collector.messages.entry import Kind
from tests.journal.conftest import Open
from tests.journal.test_damaged_pages import zero_page_of

ENTRY = 1 << 20
MANY = FREE_BYTES // ENTRY + 8


async def filled(journal: SqliteJournal, entries: int = MANY) -> None:
    for _ in range(entries):
        await journal.append(Kind.TAP, "s", bytes(ENTRY))


async def test_a_file_that_is_mostly_free_shrinks_and_what_is_left_is_read_as_before(path: Path, open_at: Open) -> None:
    journal = await open_at()
    await filled(journal)
    for number in range(5):
        await journal.append(Kind.TAP, f"left-{number}", b"x" * number)
    await journal.save_checkpoint(Checkpoint(MANY, b"state"))
    left = await journal.read(MANY, 1 << 20)
    assert path.stat().st_size > FREE_BYTES
    await journal.truncate(MANY)
    assert path.stat().st_size < FREE_BYTES // 8
    assert await journal._reader.entries(MANY, 1 << 20, journal.last_position) == [entry._replace(message=None) for entry in left]
    found = await journal.checkpoint(MANY)
    assert found is not None
    assert found.state == b"state"
    assert await journal.append(Kind.TAP, "s", b"next") == MANY + 6
    await journal.close()
    again = await open_at()
    assert (again.id, again.last_position, again.floor_position) == (journal.id, MANY + 6, MANY)


async def test_a_file_of_which_much_is_needed_is_left_alone(path: Path, open_at: Open) -> None:
    journal = await open_at()
    await filled(journal, MANY + LEFT_BYTES // ENTRY + 2)
    before = path.stat().st_size
    await journal.truncate(MANY)
    assert path.stat().st_size >= before


@pytest.mark.slow
async def test_a_damaged_file_keeps_its_size_and_takes_what_comes(path: Path, open_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    journal = await open_at()
    await filled(journal)
    for number in range(10):
        await journal.append(Kind.TAP, "s", b"left %d," % number + bytes(20_000))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    zero_page_of(path, b"left 5,")
    await journal.truncate(MANY)
    assert path.stat().st_size > FREE_BYTES
    assert "its file keeps its size until the next start" in caplog.text
    assert await journal.append(Kind.TAP, "s", b"next") == MANY + 11
