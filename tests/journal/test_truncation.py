"""What is kept is counted right and time goes on, whatever damaged columns of forgotten entries say."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Kind
from tests.journal.conftest import Open
from tests.journal.test_damage import change, filled, zero_page

SIZE = 1000
QUOTA = 1 << 20


async def appended(journal: SqliteJournal, count: int) -> None:
    for _ in range(count):
        await journal.append(Kind.TAP, "n", bytes(SIZE))


@pytest.mark.parametrize("told", [0, 1, 1 << 50, -(1 << 50)])
@pytest.mark.parametrize("position", [1, 19, 20])
async def test_a_damaged_total_of_a_forgotten_entry_changes_nothing(path: Path, open_at: Open, position: int, told: int) -> None:
    journal = await open_at(keep_bytes=0, quota_bytes=QUOTA)
    await appended(journal, 30)
    change(path, "UPDATE entries SET total_bytes = ? WHERE position = ?", told, position)
    await journal.truncate(20)
    assert (journal.floor_position, journal.kept_bytes) == (20, 10 * SIZE)
    await appended(journal, 1)
    await journal.close()
    journal = await open_at(keep_bytes=0, quota_bytes=QUOTA)
    assert journal.kept_bytes == 11 * SIZE
    await journal.truncate(journal.last_position)
    assert journal.kept_bytes == 0


@pytest.mark.parametrize("position", [19, 20])
async def test_a_damaged_time_of_a_forgotten_entry_is_not_that_of_all_that_come(path: Path, open_at: Open, position: int) -> None:
    journal = await open_at(keep_bytes=0)
    await appended(journal, 20)
    before = journal.last_received_at
    change(path, "UPDATE entries SET received_at = 1 << 60 WHERE position = ?", position)
    await journal.truncate(20)
    await journal.close()
    assert (await open_at(keep_bytes=0)).last_received_at <= before


async def test_entries_that_are_gone_are_not_counted_as_kept_for_ever(path: Path, open_at: Open) -> None:
    journal = await open_at(keep_bytes=0, quota_bytes=QUOTA)
    await appended(journal, 30)
    change(path, "DELETE FROM entries WHERE position BETWEEN 5 AND 10")
    await journal.truncate(20)
    assert journal.kept_bytes == 10 * SIZE


async def test_where_all_is_forgotten_nothing_is_kept_although_none_of_it_can_be_read(path: Path, open_at: Open) -> None:
    journal = await open_at(keep_bytes=0, quota_bytes=QUOTA)
    await appended(journal, 30)
    change(path, "DELETE FROM entries")
    await journal.truncate(30)
    assert journal.kept_bytes == 0
    await appended(journal, 1)
    assert journal.kept_bytes == SIZE


@pytest.mark.parametrize("up_to", [90, 100, 105, 150])
async def test_what_is_passed_over_may_end_on_the_damaged_page(path: Path, open_at: Open, up_to: int) -> None:
    await filled(open_at, 200)
    zero_page(path, b"entry 100,")
    journal = await open_at(keep_bytes=0)
    kept = journal.kept_bytes
    await journal.truncate(up_to)
    assert journal.floor_position == up_to
    assert 0 < journal.kept_bytes < kept
    await journal.truncate(200)
    assert journal.kept_bytes == 0


@pytest.mark.parametrize("told", [1, 1 << 50])
async def test_a_damaged_total_beside_a_damaged_page_changes_nothing(path: Path, open_at: Open, told: int) -> None:
    await filled(open_at, 200)
    zero_page(path, b"entry 100,")
    journal = await open_at(keep_bytes=0)
    change(path, "UPDATE entries SET total_bytes = ? WHERE position = 150", told)
    before = journal.kept_bytes
    await journal.truncate(150)
    assert 0.2 * before < journal.kept_bytes < 0.3 * before
