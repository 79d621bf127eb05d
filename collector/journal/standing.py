"""Where the journal's file stood before it was compared with the store, and what is noticed then; kept in the file until it is settled.

A process may end before the store answers, and the next one must not take what came meanwhile for what was there. So the end that was
found at the first opening stays noted (`meta.unchecked`) until the pipeline has compared it with the store's `high`. What was noticed is
noted too (`incidents`), until an entry of Kind.INCIDENT tells it to the ledger and the dead letters: a crash in between repeats it at most.
"""

from __future__ import annotations

import logging
import sqlite3

from collector.journal import Standing
from collector.journal.checksum import checked
from collector.journal.place import Place
from collector.messages.entry import Incident, Kind

log = logging.getLogger("meshscribe.journal")

LATEST_US = 1 << 53  # no time is beyond, whatever a damaged column says
LOOK_BACK = 1000  # entries among which a sound one is looked for
_ROW = "SELECT position, kind, CAST(source AS BLOB), CAST(sender AS BLOB), received_at, crc, payload, total_bytes FROM entries"


def end_of(connection: sqlite3.Connection, floor: Place) -> Place:
    """The last entry's place. Behind a damaged key nothing could be appended, and a damaged time would be that of all that come."""
    row = connection.execute(f"{_ROW} ORDER BY position DESC LIMIT 1").fetchone()
    if row is None or row[0] < floor.position:
        return floor
    if checked(row[:7], 0).kind is Kind.DAMAGED:
        return _behind_damage(connection, floor)
    return Place(row[0], _total(connection, floor, row[7]), row[4])


def _behind_damage(connection: sqlite3.Connection, floor: Place) -> Place:
    last, total = connection.execute("SELECT max(position + 0), max(total_bytes) FROM entries").fetchone()
    received_at = floor.received_at
    for row in connection.execute(f"{_ROW} ORDER BY position DESC LIMIT {LOOK_BACK}"):
        entry = checked(row[:7], 0)
        if entry.kind is not Kind.DAMAGED:
            received_at = entry.received_at
            break
    return Place(max(last, floor.position), _total(connection, floor, total), min(received_at, LATEST_US))


def _total(connection: sqlite3.Connection, floor: Place, told: int) -> int:
    """Payload bytes ever: what the last entry tells, if the entries that are kept make it up. No blob is read for it."""
    try:
        total = int(floor.total_bytes + connection.execute("SELECT coalesce(sum(length(payload)), 0) FROM entries").fetchone()[0])
    except sqlite3.DatabaseError as error:
        log.error("journal: the bytes that are kept cannot be counted: %s", error)
        return max(told, floor.total_bytes)
    if total != told:
        log.error("journal: the last entry tells of %d bytes, there are %d: what is kept is counted anew", told, total)
    return total


def note_opened(connection: sqlite3.Connection, end: Place) -> None:
    """Notes the end that was found, unless one is noted that no store was compared with yet."""
    connection.execute("UPDATE meta SET unchecked = ?, unchecked_us = ? WHERE unchecked IS NULL", (end.position, end.received_at))


def standing(connection: sqlite3.Connection) -> Standing:
    """What the next comparison with the store goes by."""
    floor, floor_us, unchecked, unchecked_us = connection.execute(
        "SELECT floor_position, floor_received_at, unchecked, unchecked_us FROM meta"
    ).fetchone()
    if unchecked is None:
        unchecked, unchecked_us = connection.execute("SELECT coalesce(max(position), ?) , ? FROM entries", (floor, floor_us)).fetchone()
    return Standing(floor, floor_us, max(unchecked, floor), unchecked_us)


def agreed(connection: sqlite3.Connection) -> None:
    """The comparison is done: what is appended from now on is the store's to come."""
    connection.execute("UPDATE meta SET unchecked = NULL, unchecked_us = NULL")


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
