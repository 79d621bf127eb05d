"""Where the pipeline goes on: what the store holds against what the journal holds, and the checkpoint that fits both.

The two are files, or servers, of their own: either may have lost its end, or be an older copy that somebody put back. Neither may be
believed blindly then. A store ahead of its journal would take all that comes for a repeat, and throw it away; a store behind the journal's
floor lacks what is forgotten. Both are noticed here, told (Kind.INCIDENT), and gone on from.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from collector.clock import Clock
from collector.journal import Checkpoint, Journal, Standing
from collector.messages.entry import Incident
from collector.messages.event import Place
from collector.sinks.protocol import WHOLE, Sink

log = logging.getLogger("meshscribe.pipeline")

T = TypeVar("T")


class Retried(Protocol):
    """Tries until it works."""

    async def __call__(self, attempt: Callable[[], Awaitable[T]]) -> T: ...


class Start(NamedTuple):
    """`high`: what the store holds; entries behind `fed` are to be fed, into the state of `checkpoint` if there is one."""

    high: Place
    fed: int
    floor: int
    checkpoint: Checkpoint | None


async def find_start(journal: Journal, sink: Sink, clock: Clock, retried: Retried, noted: Retried) -> Start:
    """Compares, tells, and says where to go on. Raises DamagedError: nothing may be taken from this journal.

    `retried` tries again what the store refuses, `noted` what the journal does, as on a full disk: without its notes the next start would
    compare amiss.
    """
    high = await retried(lambda: sink.high(journal.id))
    standing = await noted(journal.standing)
    if high.position > standing.end:
        high = await _renamed(journal, sink, clock, retried, noted, high, standing)
    covered = high.position if high.ordinal == WHOLE else high.position - 1
    checkpoint = await noted(lambda: journal.checkpoint(covered))
    if checkpoint is not None and checkpoint.position < standing.floor:
        checkpoint = None  # what follows it is forgotten
    if checkpoint is None and standing.floor:
        checkpoint = await _without(journal, covered, standing, noted)
    fed = checkpoint.position if checkpoint is not None else standing.floor
    await noted(journal.settle)
    return Start(high, fed, standing.floor, checkpoint)


async def _renamed(journal: Journal, sink: Sink, clock: Clock, retried: Retried, noted: Retried, high: Place, standing: Standing) -> Place:
    """The journal lost its end. What it still has is stored, so under the new name all up to there counts as stored.

    The store is told first: a crash in between leaves a name that nothing uses, and the next start does the same again.
    """
    old, name, place = journal.id, str(uuid.uuid4()), Place(standing.end, WHOLE)
    said = (
        f"the journal {old} ends at position {standing.end}, but the store has what came up to {high.position}: the journal lost its end,"
        f" or is an older copy. It goes on as {name}: what comes now is stored; what had come and was not stored yet may be lost"
    )
    incident = Incident(standing.end_us, max(standing.end_us, clock.now_us()), said, cut=True)

    async def place_it() -> Place:
        await sink.write(name, [], place)
        return place

    if journal.renames:
        await retried(place_it)
    await noted(partial(journal.rename, name, incident))
    log.error("%s", said)
    return place


async def _without(journal: Journal, covered: int, standing: Standing, noted: Retried) -> Checkpoint | None:
    """No checkpoint that the store covers is whole, and the first entries are forgotten."""
    later = await noted(lambda: journal.later_checkpoint(covered)) if covered < standing.floor else None
    if later is not None:
        said = (
            f"the store has what came up to position {covered}, but the journal goes on from {later.position}: the store is an older"
            f" copy or a new one. What came between is not in it; `meshscribe replay` makes anew what the journal still keeps"
        )
    else:
        said = (
            f"no checkpoint up to position {covered} can be used: the state is made anew from the entries behind {standing.floor}."
            " Exchanges that began before may come out in part"
        )
    log.error("%s", said)
    await noted(partial(journal.notice, Incident(standing.floor_us, standing.floor_us, said)))
    return later
