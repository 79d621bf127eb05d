"""Dead letters: what a sink or a relay could never write, kept with the reason and the original bytes until somebody decides.

A letter holds its events as a CloudEvents JSON batch, or bytes that nobody could read. Next stop: `meshscribe dead-letters`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from collector.dead_letters.events import BATCH_TYPE, columns_of, write_batch
from collector.describe.identity import uuid7
from collector.messages.event import Output, Place

DAMAGED_TYPE = "application/octet-stream"
_REASON_KEPT = 4000  # characters: servers answer at length


class DeadLetter(NamedTuple):
    """What could not be written. `id` is the same whenever the same failure is met again, so that a repeat is no second letter."""

    id: str
    origin: str  # `sink`, or `relay:NAME`
    journal: str
    place: Place
    at_us: int
    reason: str
    content_type: str  # BATCH_TYPE or DAMAGED_TYPE
    data: bytes
    columns: bytes | None  # of the events in `data`, one each: dead_letters.events.columns_of


class DeadLetters(Protocol):
    """Where dead letters are kept. Every method raises RetryableError."""

    async def add(self, letter: DeadLetter) -> None:
        """Durable when it returns. One that is there already is passed over."""
        ...

    def all(self) -> AsyncIterator[DeadLetter]:
        """All of them, the oldest first."""
        ...

    async def drop(self, ids: Sequence[str]) -> int:
        """Forgets these. Returns how many there were."""
        ...

    async def close(self) -> None:
        """Gives up the connections."""
        ...


def letter(origin: str, journal: str, output: Output, reason: str, at_us: int) -> DeadLetter:
    """The letter of an output that was refused."""
    named = "\0".join((origin, journal, str(output.place), *(event.id for event in output.events)))
    return DeadLetter(
        _id(named, output.events[0].time_us if output.events else at_us),
        origin,
        journal,
        output.place,
        at_us,
        _plain(reason),
        BATCH_TYPE,
        write_batch(output.events),
        columns_of(output.events),
    )


def damaged(origin: str, journal: str, place: Place, data: bytes, reason: str, at_us: int) -> DeadLetter:
    """The letter of bytes that are no event, or part of one that cannot be made."""
    identity = _id(f"{origin}\0{journal}\0{place}\0{reason}", 0)
    return DeadLetter(identity, origin, journal, place, at_us, _plain(reason), DAMAGED_TYPE, data, None)


def _id(named: str, time_us: int) -> str:
    return uuid7(time_us // 1000, f"dead\0{named}".encode("utf-8", "surrogatepass"))


def _plain(reason: str) -> str:
    """Text that every store takes."""
    return reason[:_REASON_KEPT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
