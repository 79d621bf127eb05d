"""The journal's file, read as a whole: every entry and checkpoint against its checksum, and the file against itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from collector.errors import DamagedError
from collector.journal.checkpoints import whole_checkpoints
from collector.journal.file import connect_reader
from collector.messages.entry import Kind
from collector.upkeep.replay.history import History
from collector.upkeep.verify import EXAMPLES, Finding
from collector.upkeep.verify.store import looked

CHECK = "journal file"
_REMEDY = "what is not damaged is processed all the same (docs/damage.md)"
Step = Callable[[str, int, int], None]  # (what is read, how much, of how much)


async def journal_file(path: Path, step: Step) -> list[Finding]:
    """What is damaged in it, where, and what that means. Raises RetryableError: it is busy."""
    found = [await looked(CHECK, path, _REMEDY)]
    try:
        history = History(path)
        try:
            return [*found, await _entries(history, path, step), await asyncio.to_thread(_checkpoints, path)]
        finally:
            history.close()
    except DamagedError as error:
        return [*found, Finding(CHECK, str(path), 1, f"cannot be read: {error}")]


async def _entries(history: History, path: Path, step: Step) -> Finding:
    extent = history.extent()
    read, damaged = 0, []
    async for entry in history.entries(extent.floor):
        read += 1
        if entry.kind is Kind.DAMAGED:
            damaged.append(str(entry.message))
        if not read % 1000:
            step("journal", entry.position - extent.floor, max(1, extent.last - extent.floor))
    said = f"{read} entries from position {extent.floor + 1} to {extent.last}"
    if damaged:
        said += f"; {'; '.join(damaged[:EXAMPLES])}: what was in them is lost (a dead letter keeps the bytes), all others are processed"
    return Finding(CHECK, f"{path} (entries)", len(damaged), said)


def _checkpoints(path: Path) -> Finding:
    with closing(connect_reader(path)) as connection:
        whole, damaged = whole_checkpoints(connection)
    said = f"{len(whole)} whole" + (f", at position {max(whole)}" if whole else "")
    if damaged:
        said += f"; damaged: at position {', '.join(map(str, damaged))}: the next start takes the one before, or begins at the first entry"
    return Finding(CHECK, f"{path} (checkpoints)", len(damaged), said)
