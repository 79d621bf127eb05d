"""Forgetting entries, in the writer thread: a bounded chunk per transaction, so that appends pass in between; and giving the disk back.

After an outage of the store the file is as large as its quota. SQLite keeps free pages in it for what comes next: when most of it is free
and little is left, that little is copied into a file of its size (VACUUM). Appends wait meanwhile, so little is what takes well under a
second; and it is held in memory.
"""

from __future__ import annotations

import logging
import sqlite3
from bisect import bisect_right

from collector.journal.rows import Place, is_damage, time_up_to
from collector.journal.standing import LATEST_US

log = logging.getLogger("meshscribe.journal")

CHUNK_BYTES = 4 << 20
CHUNK_ENTRIES = 2000
_TOTAL_AND_SIZE = "coalesce(CAST(total_bytes AS INTEGER), 0), coalesce(length(payload), 0)"
FREE_BYTES = 64 << 20  # that are worth it
LEFT_BYTES = 32 << 20  # that are copied at most


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
    floor = _floor(connection)
    rows = connection.execute(
        f"SELECT position, {_TOTAL_AND_SIZE} FROM entries WHERE position > ? AND position <= ? ORDER BY position LIMIT ?",
        (floor.position, up_to, CHUNK_ENTRIES),
    )
    last, total, size_of_all, before = floor.position, floor.total_bytes, 0, floor.total_bytes
    for last, told, size in rows:  # noqa: B007 - the last one is what counts
        # No checksum covers the totals. Two that fit each other are believed: what is gone before them is counted as forgotten too.
        total = told if size and told == before + size else total + size
        before, size_of_all = told, size_of_all + size
        if size_of_all >= CHUNK_BYTES:
            break
    rows.close()
    if last == floor.position:  # nothing of it is there: a damaged file
        return pass_over(connection, up_to)
    new = _place(connection, floor, last, total)
    connection.execute("DELETE FROM entries WHERE position > ? AND position <= ?", (floor.position, last))
    _set_floor(connection, new)
    return new


def pass_over(connection: sqlite3.Connection, up_to: int) -> Place:
    """Forgets the entries ≤ up_to without touching them: their pages are damaged, deleting could harm others. Returns the new floor."""
    floor = _floor(connection)
    new = _place(connection, floor, up_to, _total_past_damage(connection, floor, up_to))
    connection.execute("ROLLBACK")  # SQLite refuses to write in a transaction that has met a damaged page
    connection.execute("BEGIN IMMEDIATE")
    _set_floor(connection, new)
    log.error("journal: the file is damaged: entries up to position %d are forgotten, but their space is not free again", up_to)
    return new


def _total_past_damage(connection: sqlite3.Connection, floor: Place, up_to: int) -> int:
    """As in `forget_chunk`: what the newest two entries tell that fit each other, and the sizes of those behind them."""
    behind, above = 0, (0, 0)  # the total and size of the entry one above, if that can be read
    for position in range(up_to, floor.position, -1):
        told, size = _total_and_size(connection, position)
        if above[1] and told + above[1] == above[0]:
            return told + behind
        behind, above = behind + size, (told, size)
    return floor.total_bytes + behind


def _total_and_size(connection: sqlite3.Connection, position: int) -> tuple[int, int]:
    """Nothing, where that cannot be read."""
    try:
        row = connection.execute(f"SELECT {_TOTAL_AND_SIZE} FROM entries WHERE position = ?", (position,)).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return 0, 0
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _floor(connection: sqlite3.Connection) -> Place:
    return Place(*connection.execute("SELECT floor_position, floor_total, floor_received_at FROM meta").fetchone())


def _place(connection: sqlite3.Connection, floor: Place, position: int, total: int) -> Place:
    """The new floor. Its time is of an entry that fits its checksum: with none behind it, it is the end's, and time never goes back."""
    received_at = time_up_to(connection, position, floor.position, floor.received_at)
    return Place(position, total, min(max(floor.received_at, received_at), LATEST_US))


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


def shrink(connection: sqlite3.Connection) -> None:
    """In the writer thread, outside of a transaction. Does nothing where it is not worth it. Raises sqlite3.Error."""
    pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    if free * size < FREE_BYTES or (pages - free) * size > LEFT_BYTES:
        return
    connection.execute("PRAGMA temp_store = MEMORY")  # the folder for temporary files may be one that nobody may write to
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # which cuts the file
    log.info("journal: its file was shrunk by %d MiB", free * size >> 20)
