"""Where the journal's file stood before it was compared with the store, and what is noticed then; kept in the file until it is settled.

A process may end before the store answers, and the next one must not take what came meanwhile for what was there. So the end that was
found at the first opening stays noted (`meta.unchecked`) until the pipeline has compared it with the store's `high`. What was noticed is
noted too (`incidents`), until an entry of Kind.INCIDENT tells it to the ledger and the dead letters: a crash in between repeats it at most.
"""

from __future__ import annotations

import logging
import sqlite3

from collector.journal import Standing
from collector.journal.rows import Place, entry_at, is_damage, time_up_to
from collector.messages.entry import Incident, Kind

log = logging.getLogger("meshscribe.journal")

LATEST_US = 1 << 53  # no time is beyond, whatever a damaged column says
_TOTAL = "coalesce(CAST(total_bytes AS INTEGER), 0)"  # no checksum covers it


def end_of(connection: sqlite3.Connection, floor: Place) -> Place:
    """The last entry's place. Behind a damaged key nothing could be appended, and a damaged time would be that of all that come."""
    newest = f"SELECT position, {_TOTAL}, coalesce(length(payload), 0) FROM entries ORDER BY position DESC LIMIT 1"
    rows = connection.execute(newest).fetchall()
    if not rows or rows[0][0] <= floor.position:
        return floor
    [(last, told, size)] = rows
    entry = entry_at(connection, last)
    if entry is not None and entry.kind is not Kind.DAMAGED:
        return Place(last, _total(connection, floor, last, told, size), entry.received_at)
    received_at = time_up_to(connection, last, floor.position, floor.received_at)
    return Place(_largest(connection, last), _total(connection, floor, last, told, size), min(received_at, LATEST_US))


def _largest(connection: sqlite3.Connection, last: int) -> int:
    """The largest position, wherever it stands: a damaged last key may be below others."""
    try:
        return max(last, int(connection.execute("SELECT max(position + 0) FROM entries").fetchone()[0]))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return last


def _total(connection: sqlite3.Connection, floor: Place, last: int, told: int, size: int) -> int:
    """Payload bytes ever: what the last entry tells, if it follows on the one before; else they are counted. No blob is read for it."""
    try:
        row = connection.execute(f"SELECT {_TOTAL} FROM entries WHERE position = ?", (last - 1,)).fetchone()
        before = floor.total_bytes if row is None or last - 1 <= floor.position else row[0]
        if told == before + size:
            return told
        kept = "SELECT coalesce(sum(length(payload)), 0) FROM entries WHERE position > ?"
        total = floor.total_bytes + int(connection.execute(kept, (floor.position,)).fetchone()[0])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        log.error("journal: the bytes that are kept cannot be counted: %s", error)
        return max(told, floor.total_bytes)
    if total != told:
        log.error("journal: the last entry tells of %d bytes, there are %d: what is kept is counted anew", told, total)
    return total


def note_opened(connection: sqlite3.Connection, end: Place) -> None:
    """Notes the end that was found, unless one is noted that no store was compared with yet."""
    connection.execute("UPDATE meta SET unchecked = ?, unchecked_us = ? WHERE unchecked IS NULL", (end.position, end.received_at))


def standing(connection: sqlite3.Connection, end_position: int, end_us: int) -> Standing:
    """What the next comparison with the store goes by: the end that is noted; this one if none is."""
    floor, floor_us, unchecked, unchecked_us = connection.execute(
        "SELECT floor_position, floor_received_at, unchecked, unchecked_us FROM meta"
    ).fetchone()
    if unchecked is None:
        unchecked, unchecked_us = end_position, end_us
    return Standing(floor, floor_us, max(unchecked, floor), unchecked_us)


def agreed(connection: sqlite3.Connection) -> None:
    """The comparison is done: what is appended from now on is the store's to come. Writes nothing where nothing was noted (a full disk)."""
    connection.execute("UPDATE meta SET unchecked = NULL, unchecked_us = NULL WHERE unchecked IS NOT NULL")


def noted(connection: sqlite3.Connection, incident: Incident) -> None:
    """Keeps it until it is told."""
    values = (min(incident.from_us, LATEST_US), min(incident.to_us, LATEST_US), incident.said, incident.cut)
    connection.execute("INSERT INTO incidents (from_us, to_us, said, cut) VALUES (?, ?, ?, ?)", values)


def renamed(connection: sqlite3.Connection, name: str, incident: Incident) -> None:
    """The journal is another one from now on; its positions go on."""
    connection.execute("UPDATE meta SET id = ?", (name,))
    noted(connection, incident)


def untold(connection: sqlite3.Connection) -> list[tuple[int, Incident]]:
    """What is not told yet, by number."""
    rows = connection.execute("SELECT id, from_us, to_us, said, cut FROM incidents ORDER BY id").fetchall()
    return [(number, Incident(from_us, max(from_us, to_us), said, bool(cut))) for number, from_us, to_us, said, cut in rows]


def told(connection: sqlite3.Connection, number: int) -> None:
    """It is an entry now."""
    connection.execute("DELETE FROM incidents WHERE id = ?", (number,))
