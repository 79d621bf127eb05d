"""The SQLite file as a file: what is broken about it is never the data's fault, and nobody else may read it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Place
from collector.sinks.sqlite import SqliteSink
from collector.store.migrate import migrate
from tests.support.events import JOURNAL, NOW_US, exchange, exchanges


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "events.db"
    migrate(f"sqlite:///{made}")
    return made


def zero_index(path: Path, name: str) -> None:
    """The index's first page reads as zeros, as after a fault of the disk."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


async def test_a_damaged_page_of_an_index_makes_no_dead_letters_of_healthy_exchanges(path: Path) -> None:
    sink = SqliteSink(path)
    some = exchanges(300)
    await sink.write(JOURNAL, some[:200], some[199].place)
    await sink.close()
    zero_index(path, "ix_exchanges_place")
    sink = SqliteSink(path)
    with pytest.raises(RetryableError, match=r"the file is damaged \(SQLITE_CORRUPT"):
        await sink.write(JOURNAL, some[200:], some[-1].place)
    await sink.close()


async def test_a_file_that_is_no_database_is_not_the_datas_fault(path: Path) -> None:
    for rest in path.parent.glob("events.db-*"):
        rest.unlink()
    path.write_bytes(b"no database at all" * 1000)
    sink = SqliteSink(path)
    with pytest.raises(RetryableError, match="the file is damaged"):
        await sink.write(JOURNAL, exchanges(1), Place(1, 0))
    await sink.close()


async def test_a_full_disk_is_waited_out(path: Path) -> None:
    sink = SqliteSink(path)
    some = exchanges(400)
    await sink.write(JOURNAL, some[:10], some[9].place)
    assert sink._connection is not None
    (pages,) = sink._connection.execute("PRAGMA page_count").fetchone()
    sink._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RetryableError, match="SQLITE_FULL"):
        await sink.write(JOURNAL, some[10:], some[-1].place)
    await sink.write(JOURNAL, some[10:], some[-1].place)  # its connection is a new one, without the bound
    assert await sink.high(JOURNAL) == some[-1].place
    await sink.close()


async def test_values_that_no_table_takes_are_refused_for_ever(path: Path) -> None:
    sink = SqliteSink(path)
    with pytest.raises(PermanentError):
        await sink.write(JOURNAL, [exchange(Place(1, 0), NOW_US, node=None)], Place(1, 0))
    await sink.close()


async def test_only_the_owner_may_read_the_file_and_its_log(path: Path) -> None:
    sink = SqliteSink(path)
    some = exchanges(3)
    await sink.write(JOURNAL, some, some[-1].place)
    found = sorted(path.parent.glob("events.db*"))
    assert len(found) == 3
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}
    await sink.close()
    path.chmod(0o644)
    migrate(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_in_which_somebody_writes_is_no_file_that_cannot_be_written(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert migrate(f"sqlite:///{path}") == []
    other.execute("ROLLBACK")
    other.close()
