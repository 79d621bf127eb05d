"""The journal: the durable, ordered log of what was received. What it acknowledged survives a crash at any point.

Next stop: the pipeline reads entries in order and feeds the correlator; checkpoints of the correlator live beside the entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from collector.messages.entry import Entry, Kind


class Checkpoint(NamedTuple):
    """The correlator's whole state after the entry at `position` was fed."""

    position: int
    state: bytes


class Journal(Protocol):
    """What every implementation guarantees; tests/conformance/test_journal.py runs on each of them."""

    @property
    def id(self) -> str:
        """Names this journal for ever: a UUID made when it was created, or where it is (cluster, topic, partition)."""
        ...

    async def append(self, kind: Kind, source: str, payload: bytes, message: Any = None, *, sender: str = "") -> int:
        """Returns the position after the entry is durable. Positions grow; they need not follow on each other.

        Raises JournalFullError at the quota or when too much waits.
        """
        ...

    async def read(self, after: int, max_bytes: int) -> Sequence[Entry]:
        """The next entries behind `after`, in order, about `max_bytes` of payload at most but at least one. Waits until there is one.

        What cannot be read back, or not as it was stored, comes as an entry of Kind.DAMAGED.
        """
        ...

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Durable when it returns. Older ones are dropped, but for the newest with a position not above that of the last truncation."""
        ...

    async def checkpoint(self, at_most: int) -> Checkpoint | None:
        """The newest checkpoint with a position ≤ at_most that is whole."""
        ...

    async def truncate(self, up_to: int) -> None:
        """Entries with a position ≤ up_to may be forgotten: when, and how many stay readable, is the journal's business."""
        ...

    async def close(self) -> None:
        """Everything appended is durable; later appends raise."""
        ...
