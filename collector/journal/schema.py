"""What the journal's file looks like, and the check that a file is one of ours.

`entries.total_bytes` counts the payload bytes of all entries ever, this one included. Since positions have no holes, a position can be
found by bytes with a binary search, and the bytes kept are a difference of two rows: no blob is read for a sum. `entries.crc` is checked
when an entry is read back (checksum.py), `checkpoints.crc` (over position and state) when a checkpoint is.
The one row of `meta` holds the floor: position, total and time of the last entry that was forgotten. `unchecked` and `incidents`:
standing.py. Checkpoints with an even number and those with an odd one have tables, and so pages, of their own: one page costs one of them.
"""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

from collector.errors import DamagedError

APPLICATION_ID = 0x4D53_4A4C  # "MSJL", in the file's header
VERSION = 3
PAGE_SIZE = 8192  # the fastest of 4, 8, 16 and 64 KiB for payloads of 1 and 64 KiB

TABLES = (
    """CREATE TABLE meta (
        id TEXT NOT NULL, floor_position INTEGER NOT NULL, floor_total INTEGER NOT NULL, floor_received_at INTEGER NOT NULL,
        truncated INTEGER NOT NULL, unchecked INTEGER, unchecked_us INTEGER) STRICT""",
    """CREATE TABLE entries (
        position INTEGER PRIMARY KEY, kind INTEGER NOT NULL, source TEXT NOT NULL, sender TEXT NOT NULL, received_at INTEGER NOT NULL,
        total_bytes INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL) STRICT""",
    """CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY, position INTEGER NOT NULL, complete INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT""",
    *(
        f"""CREATE TABLE checkpoint_chunks_{side} (
            checkpoint INTEGER NOT NULL, chunk INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (checkpoint, chunk)) STRICT"""
        for side in (0, 1)
    ),
    """CREATE TABLE incidents (
        id INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, said TEXT NOT NULL, cut INTEGER NOT NULL) STRICT""",
)


def prepare(connection: sqlite3.Connection, path: Path, name: str | None = None) -> None:
    """Makes the tables in an empty file, with this name if there is one.

    Raises DamagedError for a file that is not a journal or is of a newer version.
    """
    application, version = _number(connection, "application_id"), _number(connection, "user_version")
    if application == 0 and version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        _create(connection, name or str(uuid.uuid4()))
    elif application != APPLICATION_ID:
        raise DamagedError(f"{path} is an SQLite file of something else (application_id {application:#x}): name another journal.path")
    elif version != VERSION:
        raise DamagedError(
            f"{path} has journal version {version}, this program reads {VERSION}: use the program that wrote it, or move the file away"
        )


def _create(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for table in TABLES:
        connection.execute(table)
    connection.execute("INSERT INTO meta VALUES (?, 0, 0, 0, 0, NULL, NULL)", (name,))
    connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
