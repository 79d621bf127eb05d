"""Another process may be copying the journal's log when the journal is opened: SQLite then counts nothing, and that is no damage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import RetryableError
from tests.journal.conftest import Open
from tests.journal.test_wal import FRAME, HEADER, all_of, flip, killed
from tests.support.copying import Copying


@pytest.fixture
def copying(path: Path) -> Iterator[Copying]:
    with Copying(path) as process:
        yield process


async def test_a_log_that_another_copies_is_looked_at_when_that_has_ended(open_at: Open, path: Path, copying: Copying) -> None:
    await killed(open_at, path, 30)
    copying.begin()
    with copying.ends_soon():
        journal = await open_at()
    entries, told = await all_of(journal)
    assert copying.ended
    assert journal.damages == 0
    assert len(entries) == 30
    assert not told
    assert not list(path.parent.glob("journal.db-wal.*"))


async def test_damage_is_found_all_the_same(open_at: Open, path: Path, copying: Copying) -> None:
    log = await killed(open_at, path, 30)
    flip(log, HEADER + 12 * FRAME + 500)
    copying.begin()
    with copying.ends_soon():
        journal = await open_at()
    entries, told = await all_of(journal)
    assert entries[-1].position == 30
    assert len(told) == 1
    assert "damaged in or behind frame 13 " in told[0]


@pytest.mark.slow  # it is waited for, 5 s
@pytest.mark.parametrize("is_damaged", [False, True])
async def test_a_start_beside_one_that_copies_without_end_is_refused_and_leaves_the_log(
    open_at: Open, path: Path, copying: Copying, is_damaged: bool
) -> None:
    log = await killed(open_at, path, 30)
    if is_damaged:
        flip(log, HEADER + 12 * FRAME + 500)
    before = log.read_bytes()
    copying.begin()
    with pytest.raises(RetryableError, match=r"journal\.db: its log cannot be looked at while another process copies it"):
        await open_at()
    assert log.read_bytes() == before
    assert not list(path.parent.glob("journal.db-wal.*"))
    copying.end()
    _, told = await all_of(await open_at())
    assert len(told) == is_damaged
