"""What an SQLite error means to who waits for an append."""

from __future__ import annotations

import logging
import sqlite3

from collector.clock import SystemClock
from collector.complaints import Outage
from collector.errors import DiskError, JournalFullError

log = logging.getLogger(__name__)

# Both mean "no space left": for the file and its log, and for the log's index, which SQLite reports otherwise.
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class BadPageError(DiskError):
    """A page of the file cannot be used. What does not need it works."""


def translate(error: Exception, doing: str, file: str = "") -> Exception:
    """JournalFullError when the disk is full, DiskError for other errors of the file; errors of other kinds stay as they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in DAMAGED:
        return BadPageError(f"journal: {doing} failed: {file or 'the file'} is damaged ({error})")
    if getattr(error, "sqlite_errorcode", None) in FULL:
        return JournalFullError(f"journal: no space left on the disk ({error})")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return DiskError(f"journal: {doing} failed: {error} ({name})")


class FaultLog:
    """Logs why writing fails, once a minute at most, and when it works again: not every failure of thousands."""

    def __init__(self) -> None:
        self._outage = Outage("journal: writing works", log, SystemClock())

    def failed(self, error: Exception) -> None:
        self._outage.fails(str(error), str(error), logging.ERROR)

    def worked(self) -> None:
        self._outage.works()
