"""A process that holds the lock under which SQLite copies a log into its file, as a long checkpoint does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from types import TracebackType

_HOLD = """
import fcntl, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
index = open(sys.argv[1] + "-shm", "r+b")
fcntl.lockf(index, fcntl.LOCK_EX, 1, 121)  # WAL_CKPT_LOCK of sqlite.org/walformat.html
print("held", flush=True)
sys.stdin.read()
"""


class Copying:
    """Of this database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def __enter__(self) -> Copying:
        return self

    def begin(self) -> None:
        """Returns when the lock is held."""
        self._process = subprocess.Popen([sys.executable, "-c", _HOLD, self._path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"

    @contextmanager
    def ends_soon(self) -> Iterator[None]:
        """It ends while who wants to look at the log waits for it."""
        timer = Timer(0.3, self.end)
        timer.start()
        yield
        timer.join()

    def end(self) -> None:
        """It goes without closing the database, which would copy the log."""
        if self._process is not None and not self.ended:
            self._process.kill()
            self._process.communicate()
            self.ended = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()
