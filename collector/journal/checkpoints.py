"""Checkpoints in the journal's file, in chunks: a state of tens of MB does not hold up appends.

A checkpoint counts once it is complete; what a crash left unfinished is removed when the file is opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from collector.journal import Checkpoint

CHUNK_BYTES = 2 << 20


def chunks(state: bytes) -> Iterator[memoryview]:
    """The state in pieces that are written in one transaction each."""
    view = memoryview(state)
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(state), CHUNK_BYTES))


def begin_checkpoint(connection: sqlite3.Connection, position: int) -> int:
    """Returns the new checkpoint's id: ids grow in the order of saving."""
    return int(connection.execute("INSERT INTO checkpoints (position, complete) VALUES (?, 0)", (position,)).lastrowid or 0)


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


def load_checkpoint(connection: sqlite3.Connection, at_most: int) -> Checkpoint | None:
    """The newest complete checkpoint with a position ≤ at_most. Runs on the reading connection."""
    connection.execute("BEGIN")  # one view of both tables while the writer goes on
    try:
        row = connection.execute(
            "SELECT id, position FROM checkpoints WHERE complete AND position <= ? ORDER BY position DESC, id DESC LIMIT 1", (at_most,)
        ).fetchone()
        if row is None:
            return None
        pieces = connection.execute("SELECT data FROM checkpoint_chunks WHERE checkpoint = ? ORDER BY chunk", (row[0],))
        return Checkpoint(row[1], b"".join(piece for (piece,) in pieces))
    finally:
        connection.execute("ROLLBACK")
