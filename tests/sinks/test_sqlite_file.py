"""The SQLite file as a file: what is broken about it is never the data's fault, and nobody else may read it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Place
from collector.sinks.sqlite import LOG_KEPT_BYTES, SqliteSink
from collector.store.migrate import migrate
from collector.store.retention import Retention, SqliteExpiry
from tests.support.clocks import TurnedClock
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


def set_aside(path: Path, name: str) -> None:
    """The file with all that belongs to it."""
    for part in path.parent.glob(f"{path.name}*"):
        part.rename(path.with_name(name + part.name.removeprefix(path.name)))


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


async def test_retention_looks_again_later_when_the_file_is_damaged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An hourly task that ended would be missed when the disk is full."""
    path.write_bytes(b"no database at all" * 1000)
    clock = TurnedClock(NOW_US)
    await Retention(SqliteExpiry(path), 7, clock).once()
    assert f"{path}: file is not a database: the file is damaged, `meshscribe verify` names what is" in caplog.text


async def test_a_file_that_was_moved_away_is_told_and_gone_on_with_when_it_is_back(path: Path) -> None:
    sink, some = SqliteSink(path), exchanges(20)
    await sink.write(JOURNAL, some[:10], some[9].place)
    path.rename(path.with_name("moved"))
    with pytest.raises(RetryableError, match="the file is gone: put it back"):
        await sink.write(JOURNAL, some[10:], some[-1].place)
    assert not path.exists(), "a file without tables is nobody's store"
    path.with_name("moved").rename(path)
    await sink.write(JOURNAL, some[10:], some[-1].place)
    assert await sink.high(JOURNAL) == some[-1].place
    await sink.close()


async def test_an_older_copy_in_its_place_gets_nothing_since_what_lies_between_would_be_lost(path: Path) -> None:
    sink, some = SqliteSink(path), exchanges(30)
    await sink.write(JOURNAL, some[:10], some[9].place)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(path.with_name("backup"))) as copy:
        source.backup(copy)
    await sink.write(JOURNAL, some[10:20], some[19].place)
    set_aside(path, "moved")
    path.with_name("backup").rename(path)
    had = f"up to position {some[9].place.position}, but had come to {some[19].place.position}.*Start again"
    with pytest.raises(RetryableError, match=had):
        await sink.write(JOURNAL, some[20:], some[-1].place)
    assert await sink.high(JOURNAL) == some[9].place
    set_aside(path, "backup")
    set_aside(path.with_name("moved"), "events.db")
    await sink.write(JOURNAL, some[20:], some[-1].place)
    assert await sink.high(JOURNAL) == some[-1].place
    await sink.close()


async def test_a_log_that_grew_is_cut_again(path: Path) -> None:
    """As retention makes it grow while somebody reads: SQLite can't begin anew then."""
    sink, some = SqliteSink(path), exchanges(20)
    await sink.write(JOURNAL, some[:1], some[0].place)
    log = path.with_name("events.db-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("CREATE TABLE grown (data)")
        for _ in range(80):
            other.execute("INSERT INTO grown VALUES (zeroblob(1 << 20))")
        assert log.stat().st_size > LOG_KEPT_BYTES
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    for output in some[1:5]:
        await sink.write(JOURNAL, [output], output.place)
    assert log.stat().st_size <= LOG_KEPT_BYTES
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
