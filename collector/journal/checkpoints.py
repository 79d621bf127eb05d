"""Checkpoints in the journal's file, in chunks: a state of tens of MB does not hold up appends.

A checkpoint counts once it is complete; what a crash left unfinished is removed when the file is opened.
"""

from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Iterator

from collector.errors import DamagedError
from collector.journal import Checkpoint

log = logging.getLogger("meshscribe.journal")

CHUNK_BYTES = 2 << 20


def chunks(state: bytes) -> Iterator[memoryview]:
    """The state in pieces that are written in one transaction each."""
    view = memoryview(state)
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(state), CHUNK_BYTES))


def begin_checkpoint(connection: sqlite3.Connection, position: int, crc: int) -> int:
    """Returns the new checkpoint's id: ids grow in the order of saving."""
    return int(connection.execute("INSERT INTO checkpoints (position, complete, crc) VALUES (?, 0, ?)", (position, crc)).lastrowid or 0)


def add_chunk(connection: sqlite3.Connection, checkpoint: int, number: int, data: memoryview) -> None:
    connection.execute("INSERT INTO checkpoint_chunks VALUES (?, ?, ?)", (checkpoint, number, data))


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
    row = connection.execute("SELECT chunk FROM checkpoint_chunks WHERE checkpoint = ? LIMIT 1", (checkpoint,)).fetchone()
    if row is None:
        connection.execute("DELETE FROM checkpoints WHERE id = ? AND NOT complete", (checkpoint,))
        return False
    connection.execute("DELETE FROM checkpoint_chunks WHERE checkpoint = ? AND chunk = ?", (checkpoint, row[0]))
    return True


def load_checkpoint(connection: sqlite3.Connection, at_most: int, file: str) -> Checkpoint | None:
    """The newest complete checkpoint with a position ≤ at_most that fits its checksum. Runs on the reading connection.

    Without any, the whole journal is fed once more, if it still begins at its first entry; else DamagedError is raised.
    """
    connection.execute("BEGIN")  # one view of all tables while the writer goes on
    try:
        rows = connection.execute(
            "SELECT id, position, crc FROM checkpoints WHERE complete AND position <= ? ORDER BY position DESC, id DESC", (at_most,)
        ).fetchall()
        for number, position, crc in rows:
            state = _state(connection, number)
            if state is not None and zlib.crc32(state) == crc:
                return Checkpoint(position, state)
            log.error("journal: %s: the checkpoint at position %d is damaged", file, position)
        if rows:
            _rebuilt(connection, file)
        return None
    finally:
        connection.execute("ROLLBACK")


def _state(connection: sqlite3.Connection, checkpoint: int) -> bytes | None:
    try:
        pieces = connection.execute("SELECT data FROM checkpoint_chunks WHERE checkpoint = ? ORDER BY chunk", (checkpoint,))
        return b"".join(piece for (piece,) in pieces)
    except (sqlite3.DatabaseError, TypeError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        return None


def _rebuilt(connection: sqlite3.Connection, file: str) -> None:
    """Says that the state is rebuilt from the entries. Raises DamagedError where the first ones are forgotten."""
    floor = int(connection.execute("SELECT floor_position FROM meta").fetchone()[0])
    if floor:
        raise DamagedError(
            f"{file}: every checkpoint is damaged, and the entries up to position {floor} are forgotten, without which the state cannot be"
            " rebuilt. Keep a copy and move the file away to begin a new journal: what was not processed yet is lost with it"
        )
    log.error("journal: %s: no checkpoint can be used: the state is rebuilt from all entries, which takes its time", file)
