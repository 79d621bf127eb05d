"""Dead letters: what a stage could not do, or a sink or a relay never write, kept with the reason and the bytes until somebody decides.

A letter holds its events as a CloudEvents JSON batch, the exchange that no event could be made of, or bytes that nobody could read.
Next stop: `meshscribe dead-letters`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from collector.dead_letters.events import BATCH_TYPE, columns_of, write_batch
from collector.describe.identity import uuid7
from collector.messages.event import Output, Place
from collector.messages.exchange import Fault

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
    content_type: str  # BATCH_TYPE, DAMAGED_TYPE, or what a stage could not do (messages.kept, or an entry's own type)
    data: bytes
    columns: bytes | None  # of the events in `data`, one each: dead_letters.events.columns_of


class Heap(NamedTuple):
    """The letters of one origin: how many, and the newest one's time and reason."""

    origin: str
    number: int
    newest_us: int
    reason: str


class DeadLetters(Protocol):
    """Where dead letters are kept. Every method raises RetryableError."""

    async def add(self, *letters: DeadLetter) -> None:
        """Durable when it returns, all or none. One that is there already is passed over."""
        ...

    async def heaps(self) -> Sequence[Heap]:
        """What is there, by origin."""
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


def undone(origin: str, journal: str, place: Place, fault: Fault) -> DeadLetter:
    """The letter of what a stage could not do. All of it is decided by the journal's entries: a replay gives the same letter."""
    named = f"{origin}\0{journal}\0{place}\0{fault.stage}"
    return DeadLetter(
        _id(named, fault.at_us), origin, journal, place, fault.at_us, _plain(fault.reason), fault.content_type, fault.data, None
    )


def heaped(letters: Sequence[DeadLetter]) -> list[Heap]:
    """Heaps of these letters."""
    found: dict[str, Heap] = {}
    for one in letters:
        heap = found.get(one.origin, Heap(one.origin, 0, one.at_us, one.reason))
        newest = heap if heap.number and heap.newest_us > one.at_us else heap._replace(newest_us=one.at_us, reason=one.reason)
        found[one.origin] = newest._replace(number=heap.number + 1)
    return [found[origin] for origin in sorted(found)]


def _id(named: str, time_us: int) -> str:
    return uuid7(time_us // 1000, f"dead\0{named}".encode("utf-8", "surrogatepass"))


def _plain(reason: str) -> str:
    """Text that every store takes."""
    return reason[:_REASON_KEPT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
