"""Checkpoints in the journal's file, in chunks: a state of tens of MB does not hold up appends.

A checkpoint counts once it is complete; what a crash left unfinished is removed when the file is opened.
"""

from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Iterator

from collector.journal import Checkpoint

log = logging.getLogger("meshscribe.journal")

CHUNK_BYTES = 2 << 20


def chunks(state: bytes) -> Iterator[memoryview]:
    """The state in pieces that are written in one transaction each."""
    view = memoryview(state)
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(state), CHUNK_BYTES))


def table_of(checkpoint: int) -> str:
    """Where its chunks are."""
    return f"checkpoint_chunks_{checkpoint % 2}"


def checksum(position: int, state: bytes) -> int:
    """Over all that a checkpoint is."""
    return zlib.crc32(state, position & 0xFFFF_FFFF)


def begin_checkpoint(connection: sqlite3.Connection, position: int, crc: int) -> int:
    """Returns the new checkpoint's id: ids grow in the order of saving."""
    return int(connection.execute("INSERT INTO checkpoints (position, complete, crc) VALUES (?, 0, ?)", (position, crc)).lastrowid or 0)


def add_chunk(connection: sqlite3.Connection, checkpoint: int, number: int, data: memoryview) -> None:
    connection.execute(f"INSERT INTO {table_of(checkpoint)} VALUES (?, ?, ?)", (checkpoint, number, data))


def complete_checkpoint(connection: sqlite3.Connection, checkpoint: int) -> None:
    connection.execute("UPDATE checkpoints SET complete = 1 WHERE id = ?", (checkpoint,))


def retire_checkpoints(connection: sqlite3.Connection) -> list[int]:
    """Takes all checkpoints out of use but the one saved last and the newest not above the last truncation. Returns their ids."""
    rows = connection.execute(
        """UPDATE checkpoints SET complete = 0 WHERE complete
           AND id != (SELECT max(id) FROM checkpoints WHERE complete)
           AND id != coalesce((SELECT id FROM checkpoints WHERE complete AND position <= (SELECT truncated FROM meta)
                               ORDER BY position DESC, id DESC LIMIT 1), -1)
           RETURNING id"""
    )
    return [row[0] for row in rows.fetchall()]


def drop_chunk(connection: sqlite3.Connection, checkpoint: int) -> bool:
    """Deletes one piece of a retired checkpoint. Returns whether there is more."""
    table = table_of(checkpoint)
    row = connection.execute(f"SELECT chunk FROM {table} WHERE checkpoint = ? LIMIT 1", (checkpoint,)).fetchone()
    if row is None:
        connection.execute("DELETE FROM checkpoints WHERE id = ? AND NOT complete", (checkpoint,))
        return False
    connection.execute(f"DELETE FROM {table} WHERE checkpoint = ? AND chunk = ?", (checkpoint, row[0]))
    return True


def load_checkpoint(connection: sqlite3.Connection, at_most: int, file: str) -> Checkpoint | None:
    """The newest complete checkpoint with a position ≤ at_most that fits its checksum. Runs on the reading connection."""
    return _first_whole(connection, "position <= ? ORDER BY position DESC, id DESC", at_most, file)


def load_later_checkpoint(connection: sqlite3.Connection, above: int, file: str) -> Checkpoint | None:
    """The oldest complete checkpoint with a position > above that fits its checksum."""
    return _first_whole(connection, "position > ? ORDER BY position, id DESC", above, file)


def whole_checkpoints(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
    """Positions of those that are whole, and of those that are damaged."""
    found: tuple[list[int], list[int]] = ([], [])
    for number, position, crc in _rows(connection, "position >= ?", 0, "verify"):
        state = _state(connection, number)
        found[0 if state is not None and checksum(position, state) == crc else 1].append(position)
    return found


def _first_whole(connection: sqlite3.Connection, which: str, bound: int, file: str) -> Checkpoint | None:
    connection.execute("BEGIN")  # one view of all tables while the writer goes on
    try:
        for number, position, crc in _rows(connection, which, bound, file):
            state = _state(connection, number)
            if state is not None and checksum(position, state) == crc:
                return Checkpoint(position, state)
            log.error("journal: %s: the checkpoint at position %d is damaged: the one before is looked for", file, position)
        return None
    finally:
        connection.execute("ROLLBACK")


def _rows(connection: sqlite3.Connection, which: str, bound: int, file: str) -> list[tuple[int, int, int]]:
    try:
        return connection.execute(f"SELECT id, position, crc FROM checkpoints WHERE complete AND {which}", (bound,)).fetchall()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        log.error("journal: %s: the list of checkpoints is damaged: %s", file, error)
        return []


def _state(connection: sqlite3.Connection, checkpoint: int) -> bytes | None:
    try:
        pieces = connection.execute(f"SELECT data FROM {table_of(checkpoint)} WHERE checkpoint = ? ORDER BY chunk", (checkpoint,))
        return b"".join(piece for (piece,) in pieces)
    except (sqlite3.DatabaseError, TypeError, MemoryError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        return None
