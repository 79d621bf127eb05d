"""The journal's end against what the store holds of it, and the relays' places against the store's."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.messages.event import Place
from collector.relays.reached import Reached
from collector.sinks.protocol import BEGINNING
from collector.store.errors import retryable
from collector.store.schema import places
from collector.upkeep.replay.history import Extent
from collector.upkeep.verify import Finding

JOURNAL, RELAY = "journal", "relay"


async def journal(engine: AsyncEngine, extent: Extent) -> list[Finding]:
    """That nothing was forgotten before it was stored, and that the store is not ahead of its journal."""
    wanted = select(places.c.position, places.c.ordinal).where(places.c.journal == extent.journal)
    with retryable("places"):
        async with engine.connect() as connection:
            row = (await connection.execute(wanted)).one_or_none()
    high = Place(row.position, row.ordinal) if row else BEGINNING
    said = f"stored up to {high.position}, last entry {extent.last}, kept from {extent.floor + 1}"
    if extent.floor > high.position:
        return [Finding(JOURNAL, extent.journal, extent.floor - high.position, f"{said}: entries were forgotten that were not stored")]
    if high.position > extent.last:
        return [Finding(JOURNAL, extent.journal, high.position - extent.last, f"{said}: the journal is older than the store")]
    waiting = extent.last - high.position
    return [Finding(JOURNAL, extent.journal, 0, f"{said}" + (f"; {waiting} entries wait" if waiting else ""))]


async def partitions(engine: AsyncEngine, topic: str) -> list[Reached]:
    """What the store holds of a topic's partitions: role `store` writes it. `high` is not known here."""
    wanted = select(places).where(places.c.journal.startswith(f"{topic}:", autoescape=True)).order_by(places.c.journal)
    with retryable("places"):
        async with engine.connect() as connection:
            rows = (await connection.execute(wanted)).all()
    found = [(row.journal, Place(row.position, row.ordinal)) for row in rows]
    return [Reached("store", "sql", journal, place, place) for journal, place in found]


def relays(reached: Sequence[Reached]) -> list[Finding]:
    """A relay that is behind is behind; one that is ahead speaks of another store."""
    return [_relay(one) for one in reached]


def _relay(one: Reached) -> Finding:
    ahead = one.place.position - one.high.position if one.place > one.high and one.place != BEGINNING else 0
    said = f"{one.journal}: at {one.place.position} of {one.high.position}"
    if ahead > 0:
        return Finding(RELAY, one.relay, ahead, f"{said}: it is ahead of what it reads: the store or the topic was made anew")
    return Finding(RELAY, one.relay, 0, said + (f", {one.behind} behind" if one.behind else ""))
