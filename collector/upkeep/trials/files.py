"""Trials of files: whether one could be made, or written, where the settings want it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from collector.errors import SettingsError
from collector.sqlite.damage import has_head
from collector.store.migrate import revisions

GIB = 1 << 30


def try_database(path: Path, quota_bytes: int = 0) -> str:
    """A file that `serve` makes or writes to. `quota_bytes`: what it may come to hold. Raises SettingsError or OSError."""
    folder = _existing(path)
    if path.is_dir():
        raise SettingsError(["is a folder, expected a file"])
    with tempfile.TemporaryFile(dir=folder):  # it has no name, and is gone when it is closed
        pass
    free = shutil.disk_usage(folder).free
    room = f"{free / GIB:.1f} GiB free on its disk"
    if free < quota_bytes:
        room += f", less than the {quota_bytes / GIB:.1f} GiB that it may come to hold"
    if not path.exists():
        return f"will be made; {room}"
    _try_file(path)
    return f"can be written; {room}"


def try_store(path: Path) -> str:
    """As above, and its tables are not of a newer version. A file that is in use, or was not closed, is not looked into."""
    told = try_database(path)
    log = path.with_name(path.name + "-wal")
    if path.exists() and path.stat().st_size and not log.exists():
        found = _revision(path)
        if found is not None and found not in revisions():
            raise SettingsError([f"is at revision {found}, which this version does not know: it is of a newer one"])
    return told


def try_readable(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        file.read(1)
    return "can be read"


def _existing(path: Path) -> Path:
    """The folder that it is in, or the nearest one above that is there: folders are made."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise SettingsError([f"{folder} is a file, expected a folder"])
    return folder


def _try_file(path: Path) -> None:
    with path.open("r+b"):
        pass
    if not has_head(path):
        raise SettingsError(["is no SQLite file"])


def _revision(path: Path) -> str | None:
    """Without a trace: SQLite makes files beside it, and may change it, unless it is told that nobody else is there."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None
