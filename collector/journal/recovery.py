"""What of the journal's write-ahead log lies behind a damaged frame comes back into the journal, entry by entry, and is told."""

from __future__ import annotations

import logging
import mmap
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from collector import sqlite_wal as wal
from collector.journal.checksum import checksum
from collector.journal.place import Place
from collector.journal.salvage import entries_in
from collector.messages.entry import Entry

log = logging.getLogger("meshscribe.journal")


class Cut(NamedTuple):
    """Frames that SQLite would forget; the sound entries in them, by position; `kept`: the copy."""

    behind: wal.Behind
    entries: dict[int, Entry]
    kept: Path | None
    path: Path


def look(connection: sqlite3.Connection, path: Path) -> Cut | None:
    """Looks behind the log's sound part, before anything is written, and keeps a copy of what is not used."""
    used = wal.frames_used(connection)
    page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    behind = wal.behind(path, used, page_size)
    if behind is None:
        return None
    kept = wal.keep_copy(path)
    return Cut(behind, {entry.position: entry for entry in _entries(path, behind, page_size)}, kept, path)


def recover(connection: sqlite3.Connection, cut: Cut, end: Place) -> tuple[Place, str]:
    """Puts back the entries that are whole. Returns the new end, and what happened. What is lost between them reads as damaged."""
    found = [entry for position, entry in sorted(cut.entries.items()) if position > end.position]
    last = end
    connection.execute("BEGIN IMMEDIATE")
    for entry in found:
        last = _insert(connection, entry, last)
    connection.execute("COMMIT")
    said = _said(cut, end, last, len(found))
    log.error("journal: %s", said)
    return last, said


def _entries(path: Path, behind: wal.Behind, page_size: int) -> Iterator[Entry]:
    newest = dict(behind.pages)  # page → offset of its last version
    with wal.log_of(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as frames, path.open("rb") as stored:

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
        f"{wal.log_of(cut.path)} is damaged in frame {behind.first} (byte {behind.offset}): behind position {end.position} {behind.frames}"
        f" frames ({behind.bytes} bytes, {behind.commits} transactions) would be lost; {came}{kept}"
    )
