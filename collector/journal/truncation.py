"""Forgetting entries, in the writer thread: a bounded chunk per transaction, so that appends pass in between."""

from __future__ import annotations

import logging
import sqlite3
from bisect import bisect_right

from collector.journal.place import Place
from collector.journal.rows import is_damage

log = logging.getLogger("meshscribe.journal")

CHUNK_BYTES = 4 << 20
CHUNK_ENTRIES = 2000


def begin_truncation(connection: sqlite3.Connection, up_to: int, keep_bytes: int) -> int:
    """Notes that entries ≤ up_to are processed, and returns the position up to which they may go: `keep_bytes` of them stay."""
    up_to = _restorable(connection, up_to)
    floor, floor_total = connection.execute("SELECT floor_position, floor_total FROM meta").fetchone()
    connection.execute("UPDATE meta SET truncated = max(truncated, ?)", (up_to,))
    if up_to <= floor:
        return int(floor)

    def total(position: int) -> int:
        return int(floor_total) if position == floor else _total(connection, position)

    try:
        # Positions have no holes, so the place is found by bisection without a look at the payloads.
        return int(floor) + bisect_right(range(floor, up_to + 1), total(up_to) - keep_bytes, key=total) - 1 if keep_bytes else up_to
    except (sqlite3.DatabaseError, TypeError) as error:  # a damaged page, or an entry that is gone
        if isinstance(error, sqlite3.OperationalError):
            raise
        return up_to


def forget_chunk(connection: sqlite3.Connection, up_to: int) -> Place:
    """Forgets the oldest entries with a position ≤ up_to, a chunk of them at most. Returns the new floor.

    Raises sqlite3.DatabaseError at a page that cannot be read: see `pass_over`.
    """
    floor = Place(*connection.execute("SELECT floor_position, floor_total, floor_received_at FROM meta").fetchone())
    rows = connection.execute(
        "SELECT position, total_bytes, received_at FROM entries WHERE position > ? AND position <= ? ORDER BY position LIMIT ?",
        (floor.position, up_to, CHUNK_ENTRIES),
    )
    new = floor
    for row in rows:
        new = Place(*row)
        if new.total_bytes - floor.total_bytes >= CHUNK_BYTES:
            break
    rows.close()
    if new == floor:  # nothing of it is there: a damaged file
        return pass_over(connection, up_to)
    connection.execute("DELETE FROM entries WHERE position > ? AND position <= ?", (floor.position, new.position))
    _set_floor(connection, new)
    return new


def pass_over(connection: sqlite3.Connection, up_to: int) -> Place:
    """Forgets the entries ≤ up_to without touching them: their pages are damaged, deleting could harm others. Returns the new floor."""
    floor = Place(*connection.execute("SELECT floor_position, floor_total, floor_received_at FROM meta").fetchone())
    new = Place(up_to, floor.total_bytes, floor.received_at)
    for position in range(up_to, floor.position, -1):
        try:
            row = connection.execute("SELECT total_bytes, received_at FROM entries WHERE position = ?", (position,)).fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            continue
        if row is not None:
            new = Place(up_to, *row)
            break
    _set_floor(connection, new)
    log.error("journal: the file is damaged: entries up to position %d are forgotten, but their space is not free again", up_to)
    return new


def _set_floor(connection: sqlite3.Connection, floor: Place) -> None:
    connection.execute("UPDATE meta SET floor_position = ?, floor_total = ?, floor_received_at = ?", floor)


def _restorable(connection: sqlite3.Connection, up_to: int) -> int:
    """The newest checkpoint's position ≤ up_to, if there are checkpoints: without the entries behind it it would be of no use."""
    count, newest = connection.execute(
        "SELECT count(*), max(position) FILTER (WHERE position <= ?) FROM checkpoints WHERE complete", (up_to,)
    ).fetchone()
    if count == 0:
        return up_to
    return int(newest) if newest is not None else 0


def _total(connection: sqlite3.Connection, position: int) -> int:
    return int(connection.execute("SELECT total_bytes FROM entries WHERE position = ?", (position,)).fetchone()[0])
