"""Opens the journal's file: one process at a time, readable by its owner only, checked before it is used.

Next stop: the writer thread owns the connection, the façade starts from the `Place` that the file ends at.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from collector.errors import DamagedError, RetryableError
from collector.journal import recovery, schema, standing
from collector.journal.faults import FULL
from collector.journal.rows import Place
from collector.sqlite import wal

log = logging.getLogger("meshscribe.journal")

WAL_PAGES = 1000  # 8 MiB: at this length the log is copied into the file
WAL_KEPT_BYTES = 64 << 20  # a log that grew beyond is cut again


class Opened(NamedTuple):
    """The file as found. The entries above `floor` up to `end` are there; `lock` is a file descriptor to close at the end."""

    connection: sqlite3.Connection
    lock: int
    id: str
    floor: Place
    end: Place
    damages: int = 0  # that were noticed at opening


def open_file(path: Path) -> Opened:
    """Opens or creates. Raises RetryableError while another process has it, DamagedError for a foreign, newer or damaged file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        is_new = not path.exists()
        _create_private(path)
        return _load(_connect(path), path, lock, is_new)
    except BaseException:
        os.close(lock)
        raise


def connect_reader(path: Path) -> sqlite3.Connection:
    """A second connection that can only read, for one thread at a time."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _lock(path: Path) -> int:
    # A file of its own: closing any descriptor of the database file would drop SQLite's own locks on it.
    name = path.with_name(path.name + ".lock")
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise RetryableError(f"{path} is in use by process {holder}: stop it, or name another journal.path") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _create_private(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)


def _connect(path: Path) -> sqlite3.Connection:
    # 300 statements: groups of up to 128 entries have one each.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=300)


def _load(connection: sqlite3.Connection, path: Path, lock: int, is_new: bool) -> Opened:
    noticed = False
    try:
        cut = _look(connection, path, is_new)  # first of all: the next write goes over it
        _configure(connection)
        schema.prepare(connection, path, cut.journal if cut is not None else None)
        identity, floor, end = _places(connection)
        if cut is not None:
            end, noticed = recovery.recover(connection, cut, end)
        _forget_unfinished_checkpoints(connection)
        _note(connection, end)
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            full = getattr(error, "sqlite_errorcode", None) in FULL  # which even the log's index finds no room on
            raise RetryableError(f"{path} cannot be opened: {'no space left on the disk' if full else error}") from error
        raise DamagedError(
            f"{path} is damaged or no SQLite file ({error}): keep a copy and move {path}* away to begin a new journal"
        ) from error
    except BaseException:
        connection.close()
        raise
    return Opened(connection, lock, identity, floor, end, damages=int(noticed))


def _look(connection: sqlite3.Connection, path: Path, is_new: bool) -> recovery.Cut | None:
    try:
        return recovery.look(connection, path, is_new)
    except BaseException:
        wal.close_beside_log(connection, path)  # there may be no copy of what it holds
        raise


def _configure(connection: sqlite3.Connection) -> None:
    for pragma in (
        f"page_size = {schema.PAGE_SIZE}",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {WAL_PAGES}",
        f"journal_size_limit = {WAL_KEPT_BYTES}",
        "secure_delete = OFF",  # some builds have it on: every forgotten page would be written once more
    ):
        connection.execute(f"PRAGMA {pragma}")


def _places(connection: sqlite3.Connection) -> tuple[str, Place, Place]:
    identity, *floor_row = connection.execute("SELECT id, floor_position, floor_total, floor_received_at FROM meta").fetchone()
    floor = Place(*floor_row)
    return identity, floor, standing.end_of(connection, floor)  # the first entries may be damaged: the reader tells which are lost


def _note(connection: sqlite3.Connection, end: Place) -> None:
    """What the store is to be compared with."""
    try:
        standing.note_opened(connection, end)
    except sqlite3.OperationalError as error:  # a full disk: what is there can be read all the same
        log.error("journal: the end that was found cannot be noted: %s", error)


def _forget_unfinished_checkpoints(connection: sqlite3.Connection) -> None:
    try:
        for side in (0, 1):
            connection.execute(f"DELETE FROM checkpoint_chunks_{side} WHERE checkpoint NOT IN (SELECT id FROM checkpoints WHERE complete)")
        connection.execute("DELETE FROM checkpoints WHERE NOT complete")
    except sqlite3.DatabaseError as error:  # a damaged page, or a full disk, which is what leaves such pieces
        log.error("journal: the pieces of an unfinished checkpoint cannot be removed, and stay: %s", error)
