"""The exchanges topic against the store, by id: what a relay has copied is there, and once. Holds the ids of the span in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.moments import Span, first_id, past_id
from collector.kafka.reading import kept_since_us, whole_topic
from collector.messages.times import timestamp
from collector.relays.reached import Reached
from collector.settings import Kafka
from collector.store.errors import retryable
from collector.store.schema import exchanges
from collector.upkeep.verify import Finding, named

CHECK = "topic"


async def topic(engine: AsyncEngine, settings: Kafka, span: Span, reached: Sequence[Reached], *, into_topic: bool) -> list[Finding]:
    """`into_topic`: the relay writes the topic, so all that is stored below its places is there; else it reads it, and all of the topic
    below its places is stored. Without `since_us` it is looked at from the topic's oldest record on: its retention may be shorter.
    """
    places = {one.journal: one.place for one in reached}
    name, since = settings.exchanges_topic, span.since_us
    cut = await kept_since_us(settings, name) if into_topic and since is None else None
    low, high = first_id(cut or since or 0), past_id(span.until_us) if span.until_us is not None else "g"
    there: Counter[str] = Counter()
    async for record in whole_topic(settings, name):
        identity = dict(record.headers).get("ce_id", b"").decode("utf-8", "replace")
        done = into_topic or record.offset < places.get(f"{name}:{record.partition}", (0, 0))[0]
        if low <= identity < high and done:
            there[identity] += 1
    stored = await _stored(engine, low, high, places if into_topic else None)
    missing = sorted(stored - there.keys()) if into_topic else sorted(there.keys() - stored)
    where = "the topic" if into_topic else "the store"
    said = f"{len(stored)} stored, {len(there)} in the topic" + (f", which begins at {timestamp(cut)}" if cut else "")
    found = [Finding(CHECK, name, len(missing), said + (f"; not in {where}: {named(missing)}" if missing else ""))]
    twice = [identity for identity, times in there.items() if times > 1]
    if twice:
        found.append(Finding(CHECK, name, len(twice), f"in the topic more than once: {named(sorted(twice))}"))
    return found


async def _stored(engine: AsyncEngine, low: str, high: str, places: Mapping[str, tuple[int, int]] | None) -> set[str]:
    """Ids in the range; with places, only what is not above its journal's."""
    wanted = select(exchanges.c.id).where(exchanges.c.id >= low, exchanges.c.id < high)
    queries = [wanted]
    if places is not None:
        at = tuple_(exchanges.c.position, exchanges.c.ordinal)
        queries = [wanted.where(exchanges.c.journal == journal, at <= tuple_(*place)) for journal, place in places.items() if place[0]]
    found: set[str] = set()
    with retryable("exchanges"):
        async with engine.connect() as connection:
            for query in queries:
                async with connection.stream(query, execution_options={"yield_per": 1000}) as rows:
                    async for row in rows:
                        found.add(row.id)
    return found
