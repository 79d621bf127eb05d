"""Gives the disk back what the journal's file does not need any more: after an outage of the store it is as large as its quota.

SQLite keeps free pages in the file for what comes next. When most of it is free and little is left, that little is copied into a file of
its size (VACUUM). Appends wait meanwhile, so little is what takes well under a second; and it is held in memory.
"""

from __future__ import annotations

import logging
import sqlite3

log = logging.getLogger("meshscribe.journal")

FREE_BYTES = 64 << 20  # that are worth it
LEFT_BYTES = 32 << 20  # that are copied at most


def shrink(connection: sqlite3.Connection) -> None:
    """In the writer thread, outside of a transaction. Does nothing where it is not worth it. Raises sqlite3.Error."""
    pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    if free * size < FREE_BYTES or (pages - free) * size > LEFT_BYTES:
        return
    connection.execute("PRAGMA temp_store = MEMORY")  # the folder for temporary files may be one that nobody may write to
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # which cuts the file
    log.info("journal: its file was shrunk by %d MiB", free * size >> 20)
