"""Copies of a damaged log whose entries are not back in the journal yet.

A name says how many frames are sound, where the journal ended before any entry was put back, and whose they are.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from collector.sqlite import wal

log = logging.getLogger("meshscribe.journal")

_PLACES = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,19}))?")
_BEGUN = "new-"  # before the name that a journal without tables will have: all that it holds is in the log


class Pending(NamedTuple):
    """One copy. `owner`: the journal's name, maybe behind _BEGUN. `end`: the journal's last position when the copy was made; None: an
    earlier version made it, which did not note that.
    """

    path: Path
    used: int
    end: int | None
    owner: str

    @property
    def journal(self) -> str:
        """The name of the journal that it is of."""
        return self.owner.removeprefix(_BEGUN)

    def is_of(self, journal: str | None) -> bool:
        """Whether the journal that is there is this one; None: its file has no tables, so it has no name yet."""
        return self.owner.startswith(_BEGUN) if journal is None else journal == self.journal


def of(path: Path, used: int, end: int, journal: str | None) -> Pending:
    """The copy to be made of this journal's log."""
    owner = journal or f"{_BEGUN}{uuid.uuid4()}"
    return Pending(path.with_name(f"{path.name}-wal.pending-{used}.{end}-{owner}"), used, end, owner)


def left(path: Path) -> Iterator[Pending]:
    """Those that are there."""
    before = f"{path.name}-wal.pending-"
    for found in sorted(path.parent.iterdir()):
        places, _, owner = found.name.removeprefix(before).partition("-")
        read = _PLACES.fullmatch(places)
        if found.name.startswith(before) and read is not None:
            yield Pending(found, int(read[1]), int(read[2]) if read[2] else None, owner)


def set_aside(path: Path, copy: Pending) -> None:
    """It is not this journal's: its entries would come in as new ones."""
    kept = wal.dated(path, copy.path.stat().st_mtime)
    try:
        wal.rename(copy.path, kept)
    except OSError as error:
        log.error("journal: %s is of another journal than %s: it is not read, and cannot be renamed: %s", copy.path, path, error)
        return
    log.error("journal: a copy of a damaged log is of another journal than %s: its entries are not read, it is kept as %s", path, kept)
