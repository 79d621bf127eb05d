"""The journal's part of /readyz."""

from __future__ import annotations

from collector.health import Component
from collector.journal.sqlite import SqliteJournal


def journal_component(journal: SqliteJournal, refused: str | None = None) -> Component:
    """How full it is, and why it takes nothing. `refused`: why what came lately was refused before it came to the journal."""
    fault = journal.fault or refused
    used = f"{journal.kept_bytes / journal.quota_bytes:.0%} of its quota used, last position {journal.last_position}{_damages(journal)}"
    return Component("journal", fault is None, used if fault is None else f"{used}; takes nothing, or not all: {fault}")


def _damages(journal: SqliteJournal) -> str:
    """What was found at the start; the dead letters tell it for as long as nobody drops it."""
    return "; the file was found damaged, or not to fit the store: see the dead letters" if journal.damages else ""
