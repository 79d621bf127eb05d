"""The write-ahead log beside an SQLite file, looked at before anything is written: SQLite ends at the first frame that does not fit,
takes what lies behind for nothing, and writes over it without a word.

The frames of one generation carry the header's two salts (sqlite.org/fileformat2.html#walformat). Where SQLite has ended, it says itself.
A frame behind that place with these salts and a commit mark is of a transaction that was written to its end: its entries may have been
acknowledged.
Next stop: of the journal's log, journal/salvage.py reads the entries in those frames; of the store's, it is told.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from collector.errors import RetryableError

log = logging.getLogger("meshscribe")

_HEADER = struct.Struct(">8I")  # magic, version, page size, sequence, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages after the commit or 0, two salts, two checksums
_LITTLE, _BIG = 0x377F0682, 0x377F0683  # magic of a log whose checksums are over words of that order
_MAGIC = (_LITTLE, _BIG)
_LOOKS, _PAUSE_SECONDS = 50, 0.1  # at a log that another process copies


class Behind(NamedTuple):
    """Whole frames that SQLite does not use, of transactions written to their end: `pages` as (number, offset), the oldest first."""

    first: int  # number of the first frame that is not used, from 1
    offset: int  # where in the file it begins
    frames: int
    commits: int
    bytes: int
    pages: list[tuple[int, int]]

    def said(self) -> str:
        """Where, and what of it."""
        return f"damaged in or behind frame {self.first} (byte {self.offset}): {self.commits} transactions there are lost"


def log_of(path: Path) -> Path:
    """The log of a database file."""
    return path.with_name(path.name + "-wal")


def frames_used(connection: sqlite3.Connection, path: Path) -> int:
    """How many frames of this database's log are sound. Copies them into the file, which is no change of what it holds.

    Raises RetryableError: another process copies them, and does not end within a few seconds. SQLite does not count for two at a time.
    """
    for _ in range(_LOOKS):
        if (used := _counted(connection)) is not None:
            return used
        time.sleep(_PAUSE_SECONDS)
    raise RetryableError(f"{path}: its log cannot be looked at while another process copies it (a checkpoint): end that")


def _counted(connection: sqlite3.Connection) -> int | None:
    """As `frames_used`; None where another is copying them."""
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    busy, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return None if busy and frames < 0 else max(0, int(frames))  # less than 0 where nobody is: there is no log


def behind(path: Path, used: int, page_size: int) -> Behind | None:
    """The frames behind the first `used` in this file's log that were committed; None if there are none."""
    return behind_in(log_of(path), used, page_size)


def behind_in(log_file: Path, used: int, page_size: int) -> Behind | None:
    """As `behind`, in this log."""
    try:
        with log_file.open("rb") as file:
            header = file.read(_HEADER.size)
            heads = []
            size, offset = page_size + _FRAME.size, _HEADER.size
            while len(head := _at(file, offset)) == _FRAME.size:
                heads.append((offset, *_FRAME.unpack(head)[:4]))
                offset += size
            whole = len(heads) - (1 if heads and log_file.stat().st_size < heads[-1][0] + size else 0)
    except FileNotFoundError:
        return None
    heads = heads[:whole]
    salts = _salts(header, heads)
    left = [(number, at, pages) for at, number, pages, *own in heads[used:] if tuple(own) == salts]
    last = max((place for place, (_, _, pages) in enumerate(left) if pages), default=-1)
    commits = sum(1 for _, _, pages in left if pages)
    if last < 0:
        return None  # what a transaction that never ended left there
    found = [(number, at + _FRAME.size) for number, at, _ in left[: last + 1]]
    return Behind(used + 1, _HEADER.size + used * size, len(found), commits, len(found) * size, found)


def _at(file: object, offset: int) -> bytes:
    file.seek(offset)  # type: ignore[attr-defined]
    found: bytes = file.read(_FRAME.size)  # type: ignore[attr-defined]
    return found


def _salts(header: bytes, heads: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The header's, if it fits its own checksum: a log that begins anew gets its header first, so none of its frames need be there.
    Else those of the first frame: the header itself is damaged.
    """
    if _fits(header):
        return _HEADER.unpack(header)[4:6]
    return heads[0][3:5] if heads else ()


def _fits(header: bytes) -> bool:
    if len(header) != _HEADER.size or (magic := struct.unpack_from(">I", header)[0]) not in _MAGIC:
        return False
    words = struct.unpack(("<" if magic == _LITTLE else ">") + "6I", header[:24])
    one = two = 0
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = one + first + two & 0xFFFF_FFFF
        two = two + second + one & 0xFFFF_FFFF
    return (one, two) == _HEADER.unpack(header)[6:]


def tell_behind(path: Path) -> None:
    """Says what of this database's log SQLite will not use, and keeps a copy. For who is about to write, before any other opens the file:
    the last one that closes it removes the log. Raises RetryableError: no copy can be kept, or another process copies the log.
    """
    with left_alone(path):
        found = _told_of(path)
        if found is None:
            return
        kept = keep_copy(path)
        if kept is None:
            raise RetryableError(f"{log_of(path)} is {found.said()} to the store, and no copy of it can be kept: make room")
        log.error("%s is %s to the store; a copy is kept as %s", log_of(path), found.said(), kept)


def _told_of(path: Path) -> Behind | None:
    try:
        return _looked(path, lambda connection: frames_used(connection, path))
    except sqlite3.OperationalError as error:
        log.warning("%s: whether its log is damaged is not known, it cannot be looked at: %s", path, error)
    except (sqlite3.Error, OSError):
        pass  # who opens the file says so
    return None


def look(path: Path) -> Behind | None:
    """What of its log SQLite does not use. Others may be writing. None where nothing can be read: who opens the file says so; or where
    another copies the log: who did it first at its start has looked.
    """
    with suppress(sqlite3.Error, OSError):
        return _looked(path, _counted)
    return None


def _looked(path: Path, count: Callable[[sqlite3.Connection], int | None]) -> Behind | None:
    if not path.exists() or not log_of(path).exists():
        return None
    with ExitStack() as stack:
        holding, counting = (stack.enter_context(closing(_opened(path))) for _ in range(2))
        page_size = int(holding.execute("PRAGMA page_size").fetchone()[0])
        holding.execute("BEGIN IMMEDIATE")  # nobody adds frames meanwhile
        used = count(counting)
        return None if used is None else behind(path, used, page_size)


@contextmanager
def left_alone(path: Path) -> Iterator[None]:
    """Whoever closes this database meanwhile leaves its log as it is: it is open to one that can only read."""
    with ExitStack() as stack:
        with suppress(sqlite3.Error):
            connection = stack.enter_context(closing(_opened(path, "ro")))
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield


def _opened(path: Path, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def keep_copy(path: Path) -> Path | None:
    """A copy of the log on the disk, for who wants to look: SQLite is about to write over it."""
    return copy_as(log_of(path), dated(path, time.time()))


def dated(path: Path, seconds: float) -> Path:
    """The name that a copy made then is kept under; no file has it yet."""
    first = name = path.with_name(f"{path.name}-wal.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(seconds))}")
    number = 1
    while name.exists():
        number += 1
        name = first.with_name(f"{first.name}-{number}")
    return name


def close_beside_log(connection: sqlite3.Connection, path: Path) -> None:
    """Closes and leaves the log as it is. The last connection that can write would take it for copied, and remove it."""
    with left_alone(path):
        connection.close()


def copy_as(log_file: Path, name: Path) -> Path | None:
    """It is there as a whole and durable, or not at all (None)."""
    part = log_file.with_name(f"{log_file.name}.part")
    try:
        with log_file.open("rb") as source, os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            os.fchmod(target.fileno(), 0o600)
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        rename(part, name)
    except OSError as error:
        log.error("no copy of the damaged log %s can be kept: %s", log_file, error)
        with suppress(OSError):
            part.unlink()
        return None
    return name


def rename(old: Path, new: Path) -> None:
    """Durable when it returns. Raises OSError."""
    old.rename(new)
    folder = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
