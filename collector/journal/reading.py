"""Reads entries from the file, past whatever is damaged in it.

An entry that does not fit its checksum, and a stretch of positions that cannot be read at all (a damaged page), come back as one entry
each of Kind.DAMAGED; what lies behind is read as ever. Only a file whose first pages are damaged cannot be read.
"""

from __future__ import annotations

import logging
import sqlite3

from collector.journal.checksum import checked, unreadable
from collector.journal.rows import COLUMNS, entry_at, is_damage, time_up_to
from collector.journal.tail import MAX_ENTRIES
from collector.messages.entry import Entry, Kind

log = logging.getLogger("meshscribe.journal")


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
        except (sqlite3.DatabaseError, MemoryError) as error:
            if not is_damage(error):
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
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM entries WHERE position > ? AND position <= ? ORDER BY position", (self._after, fits)
        )
        expected = self._after + 1
        for row in rows:
            if row[0] < expected:  # a damaged key: the entry that it was is missed where it belongs
                continue
            if row[0] > expected:
                self._miss(expected, row[0] - 1)
            self._add(checked(row, 0))
            expected = row[0] + 1
        if not self._found:
            self._miss(expected, self._hole_to())
        return self._found

    def singly(self, max_bytes: int) -> list[Entry]:
        """One after the other, up to the first stretch that cannot be read."""
        position, size = self._after + 1, 0
        while position <= self._last and len(self._found) < MAX_ENTRIES:
            entry = entry_at(self._connection, position)
            if entry is None:
                self._miss(position, self._unreadable_to(position))
                break
            size += len(entry.payload)
            if size > max_bytes and self._found:
                break
            self._add(entry)
            position += 1
        return self._found

    def _hole_to(self) -> int:
        """The last position before the next entry that there is."""
        [following] = self._connection.execute("SELECT min(position) FROM entries WHERE position > ?", (self._after,)).fetchone()
        return self._last if following is None else min(int(following) - 1, self._last)

    def _unreadable_to(self, position: int) -> int:
        while position < self._last and entry_at(self._connection, position + 1) is None:
            position += 1
        return position

    def _add(self, entry: Entry) -> None:
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
        return time_up_to(self._connection, self._after, self._floor, self._floor_us)


def _last_that_fits(connection: sqlite3.Connection, after: int, last: int, max_bytes: int) -> int:
    """Looks at the payloads' lengths only: what would not fit is not loaded. No checksum covers the running totals."""
    rows = connection.execute(
        "SELECT position, length(payload) FROM entries WHERE position > ? AND position <= ? ORDER BY position", (after, last)
    )
    fits, total = after, 0
    for position, size in rows:
        total += size or 0
        if total > max_bytes and fits > after:
            break
        fits = position
    rows.close()
    return int(fits)
