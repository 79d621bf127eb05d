"""A start that reads entries back out of a damaged log may end at any point: the next one does it again, and tells it once."""

from __future__ import annotations

import re
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from collector.errors import RetryableError, SettingsError
from collector.journal import recovery, schema, standing
from collector.messages.entry import Kind
from collector.sqlite import wal
from tests.journal.conftest import Open
from tests.journal.test_damage import payload, source
from tests.journal.test_wal import FRAME, HEADER, all_of, flip, killed


class Crash(BaseException):
    """The process ends here."""


async def damaged(open_at: Open, path: Path) -> Path:
    log = await killed(open_at, path, 30)
    flip(log, HEADER + 12 * FRAME + 500)
    return log


async def check(open_at: Open, path: Path) -> None:
    entries, told = await all_of(await open_at())
    good = [entry for entry in entries if entry.kind is Kind.TAP]
    assert len(good) >= 26
    assert entries[-1].position == 30
    assert all(entry.payload == payload(entry.position) for entry in good)
    assert len(told) == 1
    assert "entries of them were read back, up to position 30" in told[0]
    [kept] = path.parent.glob("journal.db-wal.*")
    assert str(kept) in told[0]
    assert ".damaged-" in kept.name


async def cut_short(open_at: Open, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, instead: Callable[..., None]) -> None:
    """A start that crashes there. It closes the file, with which SQLite even removes the log."""
    with monkeypatch.context() as patched:
        patched.setattr(module, name, instead)
        with pytest.raises(Crash):
            await open_at()


def crash(*_: object, **__: object) -> None:
    raise Crash


async def test_a_crash_before_it_is_told_leaves_it_to_the_next_start(open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await damaged(open_at, path)
    await cut_short(open_at, monkeypatch, standing, "noted", crash)
    await check(open_at, path)


async def lost_behind(open_at: Open, path: Path) -> Path:
    """The log as of a killed process. Its last entry, the tenth, is damaged on a page of its own: it cannot be put back. Those before it
    are beside its beginning, and are in the journal.
    """
    journal = await open_at(path.with_name("running.db"))
    for position in range(1, 11):
        await journal.append(Kind.TAP, source(position), bytes(20_000 if position == 10 else 50))
    for end in ("", "-wal"):
        shutil.copyfile(path.with_name(f"running.db{end}"), path.with_name(path.name + end))
    log = wal.log_of(path)
    flip(log, log.stat().st_size - FRAME // 2)
    return log


def full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(("instead", "error"), [(crash, Crash), (full, RetryableError)], ids=["killed", "full"])
@pytest.mark.parametrize("name", [None, "journal.db-wal.pending-"], ids=["this version", "the one before"])
async def test_a_loss_of_which_no_entry_comes_back_is_told_by_the_start_that_gets_through(
    open_at: Open,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    instead: Callable[..., None],
    error: type[BaseException],
    name: str | None,
) -> None:
    log = await lost_behind(open_at, path)
    with monkeypatch.context() as patched:
        patched.setattr(standing, "noted", instead)
        for _ in range(2):
            with pytest.raises(error):
                await open_at()
    [copy] = path.parent.glob(f"{log.name}.pending-*")
    if name is not None:
        used, end, owner = re.fullmatch(re.escape(name) + r"(\d+)\.(\d+)-(.*)", copy.name).groups()  # type: ignore[union-attr]
        assert end == "9"
        copy.rename(copy.with_name(f"{name}{used}-{owner}"))
    journal = await open_at()
    assert journal.damages == 1
    entries, told = await all_of(journal)
    assert [entry.position for entry in entries] == list(range(1, 10))
    assert len(told) == 1
    assert "behind position 9" in told[0]
    assert "no entry could be read back" in told[0]
    [kept] = path.parent.glob("journal.db-wal.*")
    assert str(kept) in told[0]
    assert ".damaged-" in kept.name


async def test_a_crash_while_the_log_is_written_over_loses_nothing(open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await damaged(open_at, path)
    await cut_short(open_at, monkeypatch, recovery, "recover", crash)
    log.write_bytes(b"a transaction that did not end".ljust(100_000, b"."))
    await check(open_at, path)


async def test_a_crash_behind_the_commit_tells_it_once(open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await damaged(open_at, path)
    rename = wal.rename

    def rename_or_crash(old: Path, new: Path) -> None:
        if ".damaged-" in new.name:
            raise Crash
        rename(old, new)

    await cut_short(open_at, monkeypatch, wal, "rename", rename_or_crash)
    await check(open_at, path)


async def test_a_copy_that_is_not_whole_is_not_believed(open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await damaged(open_at, path)
    with monkeypatch.context() as patched:
        patched.setattr(wal, "rename", crash)
        with pytest.raises(Crash):
            wal.copy_as(log, path.with_name("journal.db-wal.pending-3"))
    [part] = path.parent.glob("*.part")
    part.write_bytes(part.read_bytes()[:100])
    await check(open_at, path)


async def test_a_log_that_was_begun_anew_and_has_no_frame_yet_is_no_damage(open_at: Open, path: Path) -> None:
    """SQLite writes the header with new salts first: what is behind it is of the round before, and long in the file."""
    await killed(open_at, path, 30)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    for end in ("", "-wal"):
        shutil.copyfile(path.with_name(f"journal.db{end}"), path.with_name(f"cut.db{end}"))
    connection.close()
    log = path.with_name("cut.db-wal")
    data = bytearray(log.read_bytes())
    data[:HEADER] = begun_anew(bytes(data[:HEADER]))
    log.write_bytes(data)
    entries, told = await all_of(await open_at(path.with_name("cut.db")))
    assert len(entries) == 30
    assert not told
    assert not list(path.parent.glob("cut.db-wal.*"))


def begun_anew(header: bytes) -> bytes:
    magic, version, size, sequence, salt, _, *_ = struct.unpack(">8I", header)
    told = struct.pack(">6I", magic, version, size, sequence + 1, salt + 1 & 0xFFFF_FFFF, 0x1234_5678)
    one = two = 0
    for first, second in struct.iter_unpack(">2I" if magic & 1 else "<2I", told):
        one = (one + first + two) % (1 << 32)
        two = (two + second + one) % (1 << 32)
    return told + struct.pack(">2I", one, two)


async def test_the_bytes_told_are_those_of_the_frames(open_at: Open, path: Path) -> None:
    await damaged(open_at, path)
    _, told = await all_of(await open_at())
    found = re.search(r"(\d+) frames \((\d+) bytes", told[0])
    assert found is not None
    assert int(found[2]) == int(found[1]) * FRAME


async def test_a_copy_in_which_nothing_is_found_does_not_hide_the_log(open_at: Open, path: Path) -> None:
    await damaged(open_at, path)
    path.with_name("journal.db-wal.pending-3").write_bytes(b"")
    entries, told = await all_of(await open_at())
    assert entries[-1].position == 30
    assert len(told) == 1


def no_room(*_: object) -> None:
    """In place of a copy."""


async def test_without_a_copy_nothing_is_written_and_the_log_stays_as_it_is(
    open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rescue that is cut short would else lose what it has not written: SQLite begins the log anew over its only source."""
    log = await damaged(open_at, path)
    before = log.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(wal, "copy_as", no_room)
        patched.setattr(recovery, "recover", crash)
        for _ in range(2):
            with pytest.raises(RetryableError, match=r"no copy of its damaged log can be kept: make room and start again"):
                await open_at()
    assert log.read_bytes() == before
    await check(open_at, path)


@pytest.mark.parametrize("error", [OSError("no"), MemoryError()], ids=repr)
async def test_a_look_that_fails_leaves_the_log_as_it_is(
    open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    log = await damaged(open_at, path)
    before = log.read_bytes()

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(wal, "behind", fails)
        with pytest.raises((SettingsError, type(error))):
            await open_at()
    assert log.read_bytes() == before
    await check(open_at, path)


async def test_a_copy_of_a_journal_that_was_moved_away_is_not_read_into_the_new_one(
    open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await damaged(open_at, path)
    await cut_short(open_at, monkeypatch, recovery, "recover", crash)
    for end in ("", "-wal", "-shm"):
        path.with_name(f"journal.db{end}").unlink(missing_ok=True)
    await is_set_aside(open_at, path, caplog)


async def test_a_copy_of_another_journal_is_not_read_into_a_backup(
    open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backup = path.with_name("backup.db")
    await (await open_at(backup)).close()
    await damaged(open_at, path)
    await cut_short(open_at, monkeypatch, recovery, "recover", crash)
    for end in ("-wal", "-shm"):
        path.with_name(f"journal.db{end}").unlink(missing_ok=True)
    backup.replace(path)
    await is_set_aside(open_at, path, caplog)


async def is_set_aside(open_at: Open, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = await open_at()
    assert await all_of(journal) == ([], [])
    assert await journal.append(Kind.TAP, "n", b"x") == 1
    [kept] = path.parent.glob("journal.db-wal.*")
    assert ".damaged-" in kept.name
    assert "a copy of a damaged log is of another journal" in caplog.text
    assert str(kept) in caplog.text


@pytest.mark.parametrize("frame", [0, 1, 12])
async def test_a_journal_that_is_in_its_log_alone_survives_a_crash_at_any_point(
    open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch, frame: int
) -> None:
    """It has no name yet, as far as its file says, and gets one before its entries are back."""
    log = await killed(open_at, path, 30)
    flip(log, HEADER + frame * FRAME + 500)
    for module, name in ((schema, "prepare"), (recovery, "recover"), (standing, "noted")):
        await cut_short(open_at, monkeypatch, module, name, crash)
        path.with_name("journal.db-wal").unlink(missing_ok=True)
    entries, told = await all_of(await open_at())
    assert entries[-1].position == 30
    assert len(told) == 1
    [kept] = path.parent.glob("journal.db-wal.*")
    assert ".damaged-" in kept.name


async def test_where_the_copy_cannot_be_renamed_it_is_told_once(
    open_at: Open, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await damaged(open_at, path)
    rename = wal.rename

    def no_new_name(old: Path, new: Path) -> None:
        if ".damaged-" in new.name:
            raise PermissionError("no")
        rename(old, new)

    with monkeypatch.context() as patched:
        patched.setattr(wal, "rename", no_new_name)
        for start in range(3):
            caplog.clear()
            journal = await open_at()
            _, told = await all_of(journal)
            assert (len(told), journal.damages) == (1, int(start == 0))
            assert "which is not needed any more, cannot be renamed" in caplog.text
            await journal.append(Kind.TAP, "n", b"x")
            await journal.close()
    _, told = await all_of(await open_at())
    assert len(told) == 1
    assert not list(path.parent.glob("journal.db-wal.pending-*"))


def test_a_copy_replaces_none_of_the_same_second(path: Path) -> None:
    log = wal.log_of(path)
    for content in (b"one", b"two", b"three"):
        log.write_bytes(content)
        wal.copy_as(log, wal.dated(path, 0))
    found = {kept.name.partition("-wal.")[2]: kept.read_bytes() for kept in path.parent.glob("journal.db-wal.*")}
    assert found == {"damaged-19700101T000000Z": b"one", "damaged-19700101T000000Z-2": b"two", "damaged-19700101T000000Z-3": b"three"}
