"""What of the journal's write-ahead log lies behind a damaged frame comes back into the journal, entry by entry, and is told."""

from __future__ import annotations

import logging
import mmap
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from collector.journal import standing
from collector.journal.checksum import checksum
from collector.journal.place import Place
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
    pending: Path | None
    kept: Path | None
    path: Path


def look(connection: sqlite3.Connection, path: Path) -> Cut | None:
    """Looks behind the log's sound part, before anything is written, and keeps a copy of what is not used.

    A copy that is there is of a start that was cut short: the log itself may be written over in part.
    """
    used = wal.frames_used(connection)
    page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    for pending, sound in _left(path):
        if (behind := wal.behind_in(pending, sound, page_size)) is not None:
            return _cut(path, behind, pending, page_size)
    behind = wal.behind(path, used, page_size)
    if behind is None:
        return None
    return _cut(path, behind, wal.copy_as(wal.log_of(path), _pending(path, used)), page_size)


def _cut(path: Path, behind: wal.Behind, pending: Path | None, page_size: int) -> Cut:
    kept = wal.dated(path, pending.stat().st_mtime) if pending is not None else None
    entries = {entry.position: entry for entry in _entries(path, pending or wal.log_of(path), behind, page_size)}
    return Cut(behind, entries, pending, kept, path)


def recover(connection: sqlite3.Connection, cut: Cut, end: Place) -> Place:
    """Puts back the entries that are whole, and notes what happened, in one. Returns the new end. What is lost between reads as damaged."""
    found = [entry for position, entry in sorted(cut.entries.items()) if position > end.position]
    last = end
    connection.execute("BEGIN IMMEDIATE")
    if not _is_noted(connection, cut):  # else the start before ended right behind its COMMIT
        for entry in found:
            last = _insert(connection, entry, last)
        said = _said(cut, end, last, len(found))
        standing.noted(connection, Incident(end.received_at, time.time_ns() // 1000, said))
        log.error("journal: %s", said)
    connection.execute("COMMIT")
    if cut.pending is not None and cut.kept is not None:
        try:
            wal.rename(cut.pending, cut.kept)
        except OSError as error:
            log.error("journal: %s, which is not needed any more, cannot be renamed: %s", cut.pending, error)
    return last


def _pending(path: Path, used: int) -> Path:
    return path.with_name(f"{path.name}-wal.pending-{used}")


def _left(path: Path) -> Iterator[tuple[Path, int]]:
    """Copies that are still needed, and how many of their frames are sound."""
    for found in sorted(path.parent.iterdir()):
        name, _, used = found.name.rpartition("-")
        if name == f"{path.name}-wal.pending" and used.isdecimal():
            yield found, int(used)


def _is_noted(connection: sqlite3.Connection, cut: Cut) -> bool:
    return bool(cut.kept and connection.execute("SELECT 1 FROM incidents WHERE instr(said, ?)", (str(cut.kept),)).fetchone())


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
    kept = f"; a copy is kept as {cut.kept}" if cut.kept is not None else ""
    if found:
        came = f"{found} entries of them were read back, up to position {last.position}"
        lost = last.position - end.position - found
        came += f", and {lost} between them are lost" if lost else ", none is missing between them"
    else:
        came = "no entry could be read back from them that is not there"
    return (
        f"{wal.log_of(cut.path)} is damaged in or behind frame {behind.first} (byte {behind.offset}): behind position {end.position}"
        f" {behind.frames} frames ({behind.bytes} bytes, {behind.commits} transactions) would be lost; {came}{kept}"
    )
