"""The topics: the exchanges topic against the store, by id, and whether every entry of the raw topic can be read.

What a relay has copied is in the exchanges topic, and once; the ids of the span are held in memory. Kafka's checksum covers the entries of
the raw topic, but no broker compares it before somebody reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from aiokafka import TopicPartition
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.moments import Span, first_id, past_id
from collector.clock import SystemClock
from collector.journal.kafka_reader import PartitionReader
from collector.journal.kafka_topic import find_raw_topic
from collector.kafka.reading import kept_since_us, whole_topic
from collector.messages.times import timestamp
from collector.relays.reached import Reached
from collector.settings import Kafka
from collector.store.errors import retryable
from collector.store.schema import exchanges
from collector.upkeep.verify import EXAMPLES, Finding, named

CHECK, RAW = "topic", "raw topic"
READ_BYTES = 4 << 20


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


async def raw_partitions(settings: Kafka, step: Callable[[str, int, int], None]) -> list[Finding]:
    """One for each partition, read up to where it ended when it was begun. Raises RetryableError; SettingsError: there is no such topic."""
    topic = await find_raw_topic(settings)
    return [await _partition(settings, TopicPartition(topic.name, number), step) for number in range(topic.partitions)]


async def _partition(settings: Kafka, at: TopicPartition, step: Callable[[str, int, int], None]) -> Finding:
    reader, name = PartitionReader(settings, at, SystemClock()), f"{at.topic}/{at.partition}"
    try:
        first, last = await reader.kept()
        after, read = first, 0
        while after < last and (found := await reader.read(after, READ_BYTES, last)):
            after, read = found[-1].position, read + len(found)
            step(name, after - first, last - first)
    finally:
        await reader.close()
    said = "; ".join([f"{read} entries read", *[gap.said for gap in reader.gaps][:EXAMPLES]])
    return Finding(RAW, name, reader.lost.count, said)
