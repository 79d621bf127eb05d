"""The write-ahead log beside an SQLite file, looked at before anything is written: SQLite ends at the first frame that does not fit,
takes what lies behind for nothing, and writes over it without a word.

The frames of one generation carry the header's two salts (sqlite.org/fileformat2.html#walformat). Where SQLite has ended, it says itself.
A frame behind that place with these salts and a commit mark was written by a transaction that ended: its entries were acknowledged.
Next stop: of the journal's log, journal/salvage.py reads the entries in those frames; of the store's, it is told.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import struct
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("meshscribe")

_HEADER = struct.Struct(">8I")  # magic, version, page size, sequence, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages after the commit or 0, two salts, two checksums
_MAGIC = (0x377F0682, 0x377F0683)


class Behind(NamedTuple):
    """Whole frames that SQLite does not use, of transactions that ended: `pages` as (number, offset in the log), the oldest first."""

    first: int  # number of the first frame that is not used, from 1
    offset: int  # where in the file it begins
    frames: int
    commits: int
    pages: list[tuple[int, int]]

    @property
    def bytes(self) -> int:
        """How much is there."""
        return self.pages[-1][1] - self.offset if self.pages else 0


def log_of(path: Path) -> Path:
    """The log of a database file."""
    return path.with_name(path.name + "-wal")


def frames_used(connection: sqlite3.Connection) -> int:
    """How many frames of the log are sound. Copies them into the file, which is no change of what it holds."""
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return max(0, int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]))


def behind(path: Path, used: int, page_size: int) -> Behind | None:
    """The frames behind the first `used` that were committed; None if there are none."""
    try:
        with log_of(path).open("rb") as file:
            header = file.read(_HEADER.size)
            heads = []
            size, offset = page_size + _FRAME.size, _HEADER.size
            while len(head := _at(file, offset)) == _FRAME.size:
                heads.append((offset, *_FRAME.unpack(head)[:4]))
                offset += size
            whole = len(heads) - (1 if heads and log_of(path).stat().st_size < heads[-1][0] + size else 0)
    except FileNotFoundError:
        return None
    heads = heads[:whole]
    salts = _salts(header, used, heads)
    left = [(number, at, pages) for at, number, pages, *own in heads[used:] if tuple(own) == salts]
    last = max((place for place, (_, _, pages) in enumerate(left) if pages), default=-1)
    commits = sum(1 for _, _, pages in left if pages)
    if last < 0:
        return None  # what a transaction that never ended left there
    found = [(number, at + _FRAME.size) for number, at, _ in left[: last + 1]]
    return Behind(used + 1, _HEADER.size + used * size, len(found), commits, found)


def _at(file: object, offset: int) -> bytes:
    file.seek(offset)  # type: ignore[attr-defined]
    found: bytes = file.read(_FRAME.size)  # type: ignore[attr-defined]
    return found


def _salts(header: bytes, used: int, heads: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Of the header, if it fits its frames; else those that most of the first frames carry: the header itself is damaged."""
    told = _HEADER.unpack(header)[4:6] if len(header) == _HEADER.size and struct.unpack(">I", header[:4])[0] in _MAGIC else ()
    if used or not heads:
        return told
    common = Counter(head[3:5] for head in heads).most_common()
    return told if any(salts == told for salts, _ in common) else heads[0][3:5]


def keep_copy(path: Path) -> Path | None:
    """A copy of the log, for who wants to look: SQLite is about to write over it."""
    name = log_of(path).with_name(f"{path.name}-wal.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    try:
        shutil.copyfile(log_of(path), name)
        name.chmod(0o600)
    except OSError as error:
        log.error("no copy of the damaged log %s can be kept: %s", log_of(path), error)
        return None
    return name
