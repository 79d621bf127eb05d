"""Damage of which SQLite says nothing: of a file's first bytes (sqlite.org/fileformat2.html), and of a row's head.

A flipped bit there makes bytes of a text, a text of a number, or nothing of either.

An engine with `read_leniently` gives every text column a text (of bytes or a number: what it would say) and every column of whole numbers
a whole number; of what is no number, None. NULL stays None, also where the table allows none: whoever reads takes that into account.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Dialect, Integer, String
from sqlalchemy.ext.asyncio import AsyncEngine

_MAGIC = b"SQLite format 3\x00"


def as_text(value: object) -> str | None:
    """The text that it says."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def as_whole(value: object) -> int | None:
    """The whole number that it is; None: it is none."""
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and abs(value) < 1 << 63 else None


class _Text(String):
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[object], str | None]:
        del dialect, coltype
        return as_text


class _Whole(Integer):
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[object], int | None]:
        del dialect, coltype
        return as_whole


def read_leniently(engine: AsyncEngine) -> None:
    """From now on, on this engine alone."""
    dialect = engine.sync_engine.dialect
    dialect.colspecs = {**dialect.colspecs, String: _Text, Integer: _Whole}


def has_head(path: Path) -> bool:
    """Whether the file says so; an empty one will when something is written to it. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    return head in (b"", _MAGIC)
