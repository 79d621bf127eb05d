"""The journal: the durable, ordered log of what was received. What it acknowledged survives a crash at any point.

Next stop: the pipeline reads entries in order and feeds the correlator; checkpoints of the correlator live beside the entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from collector.messages.entry import Entry, Incident, Kind


class Checkpoint(NamedTuple):
    """The correlator's whole state after the entry at `position` was fed."""

    position: int
    state: bytes


class Standing(NamedTuple):
    """What a journal held before anything was appended that was not compared with the store yet, with the times of these entries (µs).

    Entries up to `floor` are forgotten; 0: none, or it does not matter.
    """

    floor: int
    floor_us: int
    end: int
    end_us: int


class Journal(Protocol):
    """What every implementation guarantees; tests/conformance/test_journal.py runs on each of them."""

    @property
    def id(self) -> str:
        """Names this journal for ever: a UUID made when it was created, or where it is (cluster, topic, partition)."""
        ...

    async def append(self, kind: Kind, source: str, payload: bytes, message: object = None, *, sender: str = "") -> int:
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

    async def later_checkpoint(self, above: int) -> Checkpoint | None:
        """The oldest checkpoint with a position > above that is whole."""
        ...

    async def standing(self) -> Standing:
        """What the store's `high` is to be compared with, at a start."""
        ...

    @property
    def renames(self) -> bool:
        """Whether it can be given another name."""
        ...

    async def rename(self, name: str, incident: Incident) -> None:
        """`id` is `name` from now on, because what was stored under the old one lies beyond the end. Positions go on.

        Raises DamagedError: this journal can't be renamed, so nothing may be taken from it.
        """
        ...

    async def notice(self, incident: Incident) -> None:
        """Keeps the incident until `settle` tells it."""
        ...

    async def settle(self) -> None:
        """The comparison is done: what was noticed becomes entries of Kind.INCIDENT."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether room runs short, so that nothing is to be kept for an emergency."""
        ...

    async def truncate(self, up_to: int) -> None:
        """Entries with a position ≤ up_to may be forgotten: when, and how many stay readable, is the journal's business."""
        ...

    async def close(self) -> None:
        """Everything appended is durable; later appends raise."""
        ...
