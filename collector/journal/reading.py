"""Reads entries from the file, past whatever is damaged in it.

An entry that does not fit its checksum, and a stretch of positions that cannot be read at all (a damaged page), come back as one entry
each of Kind.DAMAGED; what lies behind is read as ever. Only a file whose first pages are damaged cannot be read.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from collector.journal.checksum import checked, unreadable
from collector.journal.tail import MAX_ENTRIES
from collector.messages.entry import Entry, Kind

log = logging.getLogger("meshscribe.journal")

LOOK_BACK = 1000  # entries among which the time before damage is looked for
_COLUMNS = "SELECT position, kind, source, sender, received_at, crc, payload FROM entries"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault: OperationalError is one of access (busy, disk, permission)."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def read_entries(connection: sqlite3.Connection, after: int, max_bytes: int, last: int | None = None) -> list[Entry]:
    """The next entries behind `after`: as many as fit into max_bytes, but at least one if there is one.

    `last`: the newest position, where the caller knows it. The connection gives texts as bytes. Raises sqlite3.Error.
    """
    connection.execute("BEGIN")  # one view while the writer goes on
    try:
        floor, floor_us = connection.execute("SELECT floor_position, floor_received_at FROM meta").fetchone()
        after = max(after, floor)
        if last is None:
            last = int(connection.execute("SELECT coalesce(max(position), 0) FROM entries").fetchone()[0])
        if after >= last:
            return []
        try:
            return _Reading(connection, after, last, floor, floor_us).together(max_bytes)
        except (sqlite3.DatabaseError, MemoryError, TypeError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            return _Reading(connection, after, last, floor, floor_us).singly(max_bytes)
    finally:
        connection.execute("ROLLBACK")


class _Reading:
    """One read: the entries behind `after`, none beyond `last`."""

    def __init__(self, connection: sqlite3.Connection, after: int, last: int, floor: int, floor_us: int) -> None:
        self._connection, self._after, self._last = connection, after, last
        self._floor, self._floor_us = floor, floor_us
        self._found: list[Entry] = []

    def together(self, max_bytes: int) -> list[Entry]:
        """In one go. Raises sqlite3.DatabaseError at a page that cannot be read."""
        fits = _last_that_fits(self._connection, self._after, min(self._last, self._after + MAX_ENTRIES), max_bytes)
        rows = self._connection.execute(f"{_COLUMNS} WHERE position > ? AND position <= ? ORDER BY position", (self._after, fits))
        expected = self._after + 1
        for row in rows:
            if row[0] < expected:  # a damaged key: the entry that it was is missed where it belongs
                continue
            if row[0] > expected:
                self._miss(expected, row[0] - 1)
            self._add(row)
            expected = row[0] + 1
        if not self._found:
            self._miss(expected, self._last)
        return self._found

    def singly(self, max_bytes: int) -> list[Entry]:
        """One after the other, up to the first stretch that cannot be read."""
        position, size = self._after + 1, 0
        while position <= self._last and len(self._found) < MAX_ENTRIES:
            row = self._row(position)
            if row is None:
                self._miss(position, self._unreadable_to(position))
                break
            size += len(row[6]) if isinstance(row[6], bytes) else 0
            if size > max_bytes and self._found:
                break
            self._add(row)
            position += 1
        return self._found

    def _unreadable_to(self, position: int) -> int:
        while position < self._last and self._row(position + 1) is None:
            position += 1
        return position

    def _row(self, position: int) -> tuple[Any, ...] | None:
        try:
            found: tuple[Any, ...] | None = self._connection.execute(f"{_COLUMNS} WHERE position = ?", (position,)).fetchone()
        except (sqlite3.DatabaseError, MemoryError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            return None
        return found

    def _add(self, row: tuple[Any, ...]) -> None:
        entry = checked(row, 0)
        if entry.kind is Kind.DAMAGED:
            entry = entry._replace(received_at=self._time_before())
            log.error("journal: %s: it is set aside", entry.message)
        self._found.append(entry)

    def _miss(self, first: int, last: int) -> None:
        self._found.append(unreadable(first, last, self._time_before()))
        log.error("journal: the file is damaged, %s", self._found[-1].message)

    def _time_before(self) -> int:
        """When the newest good entry before this one was received; the same wherever reading began."""
        if self._found:
            return self._found[-1].received_at
        for position in range(self._after, max(self._floor, self._after - LOOK_BACK), -1):
            row = self._row(position)
            if row is not None and (entry := checked(row, 0)).kind is not Kind.DAMAGED:
                return entry.received_at
        return int(self._floor_us)


def _last_that_fits(connection: sqlite3.Connection, after: int, last: int, max_bytes: int) -> int:
    """Looks at the running totals only: payloads that would not fit are not loaded."""
    rows = connection.execute(
        "SELECT position, total_bytes, length(payload) FROM entries WHERE position > ? AND position <= ? ORDER BY position", (after, last)
    )
    fits, start = after, None
    for position, total, size in rows:
        if start is None:
            start = total - size
        elif total - start > max_bytes:
            break
        fits = position
    rows.close()
    return int(fits)
