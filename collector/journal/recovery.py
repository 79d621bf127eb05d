"""What of the journal's write-ahead log lies behind a damaged frame comes back into the journal, entry by entry, and is told."""

from __future__ import annotations

import logging
import mmap
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from collector.errors import RetryableError
from collector.journal import pending, standing
from collector.journal.checksum import checksum
from collector.journal.pending import Pending
from collector.journal.rows import Place
from collector.journal.salvage import entries_in
from collector.messages.entry import Entry, Incident
from collector.sqlite import wal

log = logging.getLogger("meshscribe.journal")


class Cut(NamedTuple):
    """Frames that SQLite would forget; the sound entries in them, by position.

    `pending`: the copy, until they are back; `kept`: the name that it has then.
    """

    behind: wal.Behind
    entries: dict[int, Entry]
    pending: Pending
    kept: Path
    path: Path

    @property
    def journal(self) -> str:
        """Whose they are."""
        return self.pending.journal

    def is_back(self, end: Place) -> bool:
        """Whether an earlier start put the entries back, and noted in the same transaction what is told of it: the journal holds some that
        it did not hold when the copy was made. Where the copy has none to put back, nothing shows this.
        """
        begun = self.pending.end
        return begun is not None and any(begun < position <= end.position for position in self.entries)


def look(connection: sqlite3.Connection, path: Path, is_new: bool = False) -> Cut | None:
    """Looks behind the log's sound part, before anything is written, and keeps a copy of what is not used.

    A copy that is there is of a start that was cut short: the log itself may be written over in part. One of another journal is set aside;
    so are all where the file `is_new`. Raises RetryableError: no copy can be kept, and the log would be the only place of what it holds; or
    another process is at the log.
    """
    used = wal.frames_used(connection, path)
    page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    journal = _name_of(connection)
    for copy in pending.left(path):
        if is_new or not copy.is_of(journal):
            pending.set_aside(path, copy)
        elif (behind := wal.behind_in(copy.path, copy.used, page_size)) is not None:
            return _cut(path, behind, copy, page_size)
    behind = wal.behind(path, used, page_size)
    if behind is None:
        return None
    copy = pending.of(path, used, _end_of(connection) if journal is not None else 0, journal)
    if wal.copy_as(wal.log_of(path), copy.path) is None:
        raise RetryableError(f"{path}: no copy of its damaged log can be kept: make room and start again")
    return _cut(path, behind, copy, page_size)


def _name_of(connection: sqlite3.Connection) -> str | None:
    """The journal's; None: the file has no tables yet."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return None
    row = connection.execute("SELECT id FROM meta").fetchone()
    return None if row is None else str(row[0])


def _end_of(connection: sqlite3.Connection) -> int:
    """The last position in what is sound."""
    floor = Place(*connection.execute("SELECT floor_position, floor_total, floor_received_at FROM meta").fetchone())
    return standing.end_of(connection, floor).position


def _cut(path: Path, behind: wal.Behind, copy: Pending, page_size: int) -> Cut:
    entries = {entry.position: entry for entry in _entries(path, copy.path, behind, page_size)}
    return Cut(behind, entries, copy, wal.dated(path, copy.path.stat().st_mtime), path)


def recover(connection: sqlite3.Connection, cut: Cut, end: Place) -> tuple[Place, bool]:
    """Puts back the entries that are whole, and notes what happened, in one. Returns the new end, and whether there is anything to tell.

    What is lost between reads as damaged.
    """
    found = [entry for position, entry in sorted(cut.entries.items()) if position > end.position]
    is_back = not found and cut.is_back(end)  # only the name is old
    is_noted, last = _is_noted(connection, cut), end
    if not is_back and not is_noted:
        connection.execute("BEGIN IMMEDIATE")
        for entry in found:
            last = _insert(connection, entry, last)
        said = _said(cut, end, last, len(found))
        standing.noted(connection, Incident(end.received_at, time.time_ns() // 1000, said))
        connection.execute("COMMIT")
        log.error("journal: %s", said)
    try:
        wal.rename(cut.pending.path, cut.kept)
    except OSError as error:
        log.error("journal: %s, which is not needed any more, cannot be renamed: %s", cut.pending.path, error)
    return last, is_noted or not is_back


def _is_noted(connection: sqlite3.Connection, cut: Cut) -> bool:
    kept = str(cut.kept)
    return connection.execute("SELECT 1 FROM incidents WHERE substr(said, -length(?)) = ?", (kept, kept)).fetchone() is not None


def _entries(path: Path, log_file: Path, behind: wal.Behind, page_size: int) -> Iterator[Entry]:
    newest = dict(behind.pages)  # page → offset of its last version
    with log_file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as frames, path.open("rb") as stored:

        def page(number: int) -> bytes | None:
            if number in newest:
                return frames[newest[number] : newest[number] + page_size]
            stored.seek((number - 1) * page_size)
            found = stored.read(page_size)
            return found if len(found) == page_size else None

        yield from entries_in((frames[at : at + page_size] for _, at in behind.pages), page)


def _insert(connection: sqlite3.Connection, entry: Entry, before: Place) -> Place:
    total, received_at = before.total_bytes + len(entry.payload), max(before.received_at, entry.received_at)
    crc = checksum(entry.position, int(entry.kind), entry.source.encode(), entry.sender.encode(), entry.received_at, entry.payload)
    values = (entry.position, int(entry.kind), entry.source, entry.sender, entry.received_at, total, crc, entry.payload)
    connection.execute(
        "INSERT INTO entries (position, kind, source, sender, received_at, total_bytes, crc, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    return Place(entry.position, total, received_at)


def _said(cut: Cut, end: Place, last: Place, found: int) -> str:
    behind = cut.behind
    if found:
        came = f"{found} entries of them were read back, up to position {last.position}"
        lost = last.position - end.position - found
        came += f", and {lost} between them are lost" if lost else ", none is missing between them"
    else:
        came = "no entry could be read back from them that is not there"
    return (
        f"{wal.log_of(cut.path)} is damaged in or behind frame {behind.first} (byte {behind.offset}): behind position {end.position}"
        f" {behind.frames} frames ({behind.bytes} bytes, {behind.commits} transactions) would be lost; {came}"
        f"; a copy is kept as {cut.kept}"
    )
