"""One entry of the file by its position, past whatever is damaged there: each is looked for by itself, so no other is needed for it.

A `Place` is a point between two entries.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from collector.journal.checksum import checked
from collector.messages.entry import Entry, Kind

LOOK_BACK = 1000  # entries among which the time before damage is looked for
# As `checked` wants them. Cast, because a damaged record may say of any column that it is a text, which need not be UTF-8.
COLUMNS = (
    "position, CAST(kind AS INTEGER), CAST(source AS BLOB), CAST(sender AS BLOB), CAST(received_at AS INTEGER), CAST(crc AS INTEGER),"
    " CAST(payload AS BLOB)"
)


class Place(NamedTuple):
    """The last position before it, the payload bytes up to it, the time of that entry."""

    position: int
    total_bytes: int
    received_at: int


def is_damage(error: BaseException) -> bool:
    """Whether the file's content is at fault: OperationalError is one of access (busy, disk, permission)."""
    if isinstance(error, MemoryError):  # a damaged length
        return True
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def entry_at(connection: sqlite3.Connection, position: int) -> Entry | None:
    """The entry there, maybe of Kind.DAMAGED; None: there is none, or nothing of it can be read. Raises sqlite3.OperationalError."""
    try:
        row = connection.execute(f"SELECT {COLUMNS} FROM entries WHERE position = ?", (position,)).fetchone()
    except (sqlite3.DatabaseError, MemoryError) as error:
        if not is_damage(error):
            raise
        return None
    return None if row is None else checked(row, 0)


def time_up_to(connection: sqlite3.Connection, position: int, floor: int, floor_us: int) -> int:
    """When the newest good entry with a position ≤ this was received."""
    for _ in range(LOOK_BACK):
        position = _newest(connection, position)
        if position <= floor:
            break
        entry = entry_at(connection, position)
        if entry is not None and entry.kind is not Kind.DAMAGED:
            return entry.received_at
        position -= 1
    return floor_us


def _newest(connection: sqlite3.Connection, up_to: int) -> int:
    """The newest position ≤ up_to; where that cannot be told, `up_to` itself."""
    try:
        row = connection.execute("SELECT coalesce(max(position), 0) FROM entries WHERE position <= ?", (up_to,)).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return up_to
    return min(int(row[0]), up_to)
