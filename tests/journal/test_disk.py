"""A disk that is full or fails: who waits is told, and the journal works on when the disk does."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from collector.errors import JournalFullError
from collector.journal import Checkpoint
from collector.journal.sqlite import SqliteJournal, journal_component
from collector.messages.entry import Kind
from tests.journal.conftest import Open

# A limit on the size of files makes the kernel refuse writes: to SQLite an error of the disk.
LIMITED = """
import asyncio, json, resource, sys
from pathlib import Path
from collector import settings
from collector.errors import RetryableError
from collector.journal.sqlite import open_journal
from collector.messages.entry import Kind
from tests.support.clocks import TurnedClock

async def main():
    journal = await open_journal(settings.Journal(path=Path(sys.argv[1])), TurnedClock(), 64 << 20)
    answers = []
    async def append(payload):
        try:
            answers.append(await journal.append(Kind.TAP, "n", payload))
        except RetryableError as error:
            answers.append(type(error).__name__)
    await append(b"before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    await asyncio.gather(*(append(bytes(200_000)) for _ in range(3)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await append(b"after")
    payloads = [len(entry.payload) for entry in await journal.read(0, 1 << 20)]
    await journal.close()
    print(json.dumps([answers, payloads, journal.kept_bytes]))

asyncio.run(main())
"""


async def set_pages(journal: SqliteJournal, pages: int) -> None:
    await journal._writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").close())


async def test_a_full_disk_refuses_what_waits_and_takes_entries_again_when_there_is_room(
    open_at: Open, caplog: pytest.LogCaptureFixture
) -> None:
    journal = await open_at()
    await journal.append(Kind.TAP, "n", b"before")
    await set_pages(journal, 20)  # SQLite answers SQLITE_FULL, as it does for ENOSPC
    answers = await asyncio.gather(*(journal.append(Kind.TAP, "n", bytes(300_000)) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [JournalFullError] * 5
    assert (journal.waiting_bytes, journal.kept_bytes) == (0, len(b"before"))
    assert "no space left on the disk" in (journal.fault or "")
    assert journal_component(journal).ok is False
    await set_pages(journal, 1_000_000)
    assert await journal.append(Kind.TAP, "n", b"after") == 2
    assert [entry.payload for entry in await journal.read(0, 1000)] == [b"before", b"after"]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == ["journal: writing works again"]


async def test_a_disk_that_has_room_again_is_noticed_although_nothing_comes(open_at: Open) -> None:
    """A process that is not ready gets no traffic: what comes cannot be what tells that it is well."""
    journal = await open_at()
    await set_pages(journal, 20)
    with pytest.raises(JournalFullError):
        await journal.append(Kind.TAP, "n", bytes(300_000))
    async with asyncio.timeout(30):
        while journal.fault is not None:
            await asyncio.sleep(0.01)
    assert journal_component(journal).ok


async def test_a_disk_that_does_not_answer_is_told(open_at: Open) -> None:
    journal, free = await open_at(silent_seconds=0.1), threading.Event()
    hung = asyncio.create_task(journal._writer.run(lambda _: free.wait(60)))
    async with asyncio.timeout(30):
        while journal.fault is None:
            await asyncio.sleep(0.01)
    assert "the disk has not answered for" in journal_component(journal).detail
    free.set()
    await hung
    await journal.append(Kind.TICK, "", b"")
    assert journal.fault is None


async def test_a_full_disk_fills_no_log(open_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    journal = await open_at()
    for _ in range(20):
        await set_pages(journal, 20)
        with pytest.raises(JournalFullError):
            await journal.append(Kind.TAP, "n", bytes(300_000))
        await set_pages(journal, 1_000_000)
        await journal.append(Kind.TAP, "n", b"x")
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert len(caplog.records) < 5


async def test_a_checkpoint_that_finds_no_room_says_so_and_leaves_the_older_one(open_at: Open) -> None:
    journal = await open_at()
    await journal.append(Kind.TAP, "n", b"x")
    await journal.save_checkpoint(Checkpoint(0, b"old"))
    await set_pages(journal, 20)
    with pytest.raises(JournalFullError):
        await journal.save_checkpoint(Checkpoint(1, bytes(9 << 20)))
    assert await journal.checkpoint(1) == Checkpoint(0, b"old")
    await set_pages(journal, 1_000_000)
    await journal.save_checkpoint(Checkpoint(1, b"new"))
    assert await journal.checkpoint(1) == Checkpoint(1, b"new")


def test_a_failing_disk_refuses_what_waits_and_takes_entries_again(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True, timeout=60)
    answers, payloads, kept = json.loads(done.stdout)
    assert answers == [1, "DiskError", "DiskError", "DiskError", 2]
    assert payloads == [len(b"before"), len(b"after")]
    assert kept == sum(payloads)
    assert done.stderr.count("journal: append failed") == 1  # logged once, not once per entry


async def test_an_entry_that_cannot_be_stored_leaves_the_journal_working(open_at: Open) -> None:
    journal = await open_at()
    with pytest.raises(UnicodeEncodeError):
        await journal.append(Kind.TAP, "\ud800", b"x")
    assert await journal.append(Kind.TAP, "n", b"x") == 1
