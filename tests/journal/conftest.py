"""A journal file in a folder of its own, opened as often as a test likes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from collector import settings
from collector.health import SILENT_SECONDS
from collector.journal.sqlite import SqliteJournal, open_journal
from tests.support.clocks import TurnedClock

Open = Callable[..., Awaitable[SqliteJournal]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def open_at(path: Path) -> AsyncIterator[Open]:
    opened: list[SqliteJournal] = []

    async def open_one(at: Path = path, silent_seconds: float = SILENT_SECONDS, **values: int) -> SqliteJournal:
        clock = TurnedClock()
        clock.longest_sleep = 0.05  # between two looks whether a full disk has room
        opened.append(await open_journal(settings.Journal(path=at, **values), clock, 64 << 20, silent_seconds))
        return opened[-1]

    yield open_one
    for journal in opened:
        await journal.close()
