"""Who writes an SQLite file next, where several hands of this process do: each waits for its turn, and gets it at once when it comes.

SQLite itself lets who finds the file locked sleep, up to a tenth of a second at a time, and whoever comes by chance goes first. Another
process has no part in this: for that one SQLite's own waiting stays.
"""

from __future__ import annotations

import threading
from pathlib import Path

_turns: dict[Path, threading.Lock] = {}  # as many as there are files
_guard = threading.Lock()


def turn(path: Path) -> threading.Lock:
    """The one lock of this file. To be held for a transaction, and by a thread that may wait."""
    with _guard:
        return _turns.setdefault(path.resolve(), threading.Lock())
