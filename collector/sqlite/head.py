"""Whether a file is SQLite's at all, by its first bytes (sqlite.org/fileformat2.html)."""

from __future__ import annotations

from pathlib import Path

_MAGIC = b"SQLite format 3\x00"


def has_head(path: Path) -> bool:
    """Whether the file says so; an empty one will when something is written to it. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    return head in (b"", _MAGIC)
