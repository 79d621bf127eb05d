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

from collector.journal import recovery, standing
from collector.messages.entry import Kind
from collector.sqlite import wal
from tests.journal.conftest import Open
from tests.journal.test_damage import payload
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
