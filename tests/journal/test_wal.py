"""What lies behind a damaged frame of the journal's log is read back and told; SQLite itself would write over it without a word."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import orjson
import pytest

from collector.journal.schema import PAGE_SIZE
from collector.journal.sqlite import SqliteJournal, journal_component
from collector.messages.entry import Entry, Kind
from tests.journal.conftest import Open
from tests.journal.test_damage import SENDER, payload, read_all, source
from tests.support.effort import examples

FRAME = PAGE_SIZE + 24
HEADER = 32


async def killed(open_at: Open, path: Path, count: int, size: int = 0) -> Path:
    """The files of a process that was killed: so many entries, none of them copied out of the log."""
    journal = await open_at(path.with_name("running.db"))
    for position in range(1, count + 1):
        await journal.append(Kind.TAP, source(position), payload(position) + bytes(size), sender=SENDER)
    for end in ("", "-wal"):
        shutil.copyfile(path.with_name(f"running.db{end}"), path.with_name(path.name + end))
    return path.with_name(path.name + "-wal")


def flip(log: Path, at: int) -> None:
    data = bytearray(log.read_bytes())
    data[at] ^= 0x10
    log.write_bytes(data)


async def all_of(journal: SqliteJournal) -> tuple[list[Entry], list[str]]:
    """The entries, and what is told once the store has been compared with."""
    await journal.settle()
    entries = await read_all(journal)
    told = [orjson.loads(entry.payload)["said"] for entry in entries if entry.kind is Kind.INCIDENT]
    return [entry for entry in entries if entry.kind is not Kind.INCIDENT], told


@pytest.mark.parametrize("size", [0, 20_000], ids=["small", "on many pages"])
async def test_entries_behind_a_damaged_frame_are_read_back(open_at: Open, path: Path, size: int) -> None:
    log = await killed(open_at, path, 30, size)
    flip(log, HEADER + 12 * FRAME + 500)
    journal = await open_at()
    entries, told = await all_of(journal)
    assert entries[-1].position == journal.last_position - 1 == 30
    good = [entry for entry in entries if entry.kind is Kind.TAP]
    assert len(good) >= 26
    assert all(entry.payload == payload(entry.position) + bytes(size) and entry.sender == SENDER for entry in good)
    assert len(told) == 1
    assert "is damaged in or behind frame" in told[0]
    assert "entries of them were read back, up to position 30" in told[0]
    [kept] = log.parent.glob("journal.db-wal.damaged-*")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert str(kept) in told[0]


async def test_it_is_told_once(open_at: Open, path: Path) -> None:
    log = await killed(open_at, path, 30)
    flip(log, HEADER + 20 * FRAME + 500)
    for start in range(2):
        journal = await open_at()
        _, told = await all_of(journal)
        assert len(told) == 1
        assert ("the file was found damaged" in journal_component(journal).detail) == (start == 0)
        assert await journal.append(Kind.TAP, "n", b"x") > 30
        await journal.close()


async def test_a_damaged_header_of_the_log_loses_nothing(open_at: Open, path: Path) -> None:
    log = await killed(open_at, path, 30)
    flip(log, 17)
    entries, told = await all_of(await open_at())
    assert [entry.payload for entry in entries] == [payload(position) for position in range(1, 31)]
    assert len(told) == 1


async def test_a_transaction_that_never_ended_is_no_damage(open_at: Open, path: Path) -> None:
    log = await killed(open_at, path, 30)
    data = log.read_bytes()
    log.write_bytes(data[: -FRAME // 2])  # torn in the last frame, with its commit
    entries, told = await all_of(await open_at())
    assert len(entries) == 29
    assert not told
    assert not list(log.parent.glob("journal.db-wal.damaged-*"))


async def test_a_killed_process_leaves_no_damage(open_at: Open, path: Path) -> None:
    await killed(open_at, path, 1500)  # the log was begun anew in between: what is left of the round before is behind
    entries, told = await all_of(await open_at())
    assert [entry.position for entry in entries] == list(range(1, 1501))
    assert not told


async def test_wherever_the_log_is_damaged_no_other_entry_is_lost_and_none_is_believed_that_was_not_stored(
    open_at: Open, path: Path
) -> None:
    log = await killed(open_at, path, 60)
    whole, stored = log.read_bytes(), path.read_bytes()
    for seed in range(examples(40)):
        chance = random.Random(seed)
        path.write_bytes(stored)
        log.write_bytes(whole)
        flip(log, chance.randrange(len(whole)))
        for shm in path.parent.glob("journal.db-shm"):
            shm.unlink()
        journal = await open_at()
        entries, told = await all_of(journal)
        await journal.close()
        good = [entry for entry in entries if entry.kind is Kind.TAP]
        assert all(entry.payload == payload(entry.position) for entry in good), seed
        assert len(good) >= 60 - PAGE_SIZE // 900, seed  # what one page holds
        assert told or len(good) == 60, seed
