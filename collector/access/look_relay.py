"""Copies who has looked from the SQL store to Kafka (access.to_kafka): the feed, in the order in which looks were committed, and its relay.

Positions are committed one after the other (access/look_writer.py), so behind the highest that can be read nothing appears below it. A look
that retention has ended before it was copied is not copied.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look import LOOK_TYPE, look_event
from collector.clock import Clock
from collector.dead_letters import DeadLetters
from collector.errors import DamagedError
from collector.messages.event import Output, Place
from collector.metrics import RelayMetrics
from collector.relays.lease import Lease
from collector.relays.open import Ends
from collector.relays.protocol import Damaged, Read
from collector.relays.reached import Reached, committed_in_kafka
from collector.relays.relay import Relay
from collector.settings import Settings
from collector.settings.root import LOOKS
from collector.sinks.kafka import KafkaSink
from collector.sinks.protocol import BEGINNING
from collector.store.engine import open_engine
from collector.store.errors import retryable
from collector.store.schema import looks, looks_placed
from collector.store.sound import remains

BATCH = 200  # looks; each may name a thousand exchanges
_READING = "relay: the store's looks"


class LookFeed:
    """See protocol.Feed. Its one journal has the relay's own name. Disposes of the engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.generation = 0
        self._engine, self._lease, self._leads = engine, Lease(engine, LOOKS), False

    async def journals(self) -> Sequence[str]:
        """See Feed. None while another process has the relay."""
        led, self._leads = self._leads, False  # unknown until it is known
        self._leads = await self._lease.held()
        if self._leads and not led:
            self.generation += 1  # another process may have been at it
        return [LOOKS] if self._leads else []

    async def high(self, journal: str) -> Place:
        """See Feed."""
        del journal
        with retryable(_READING):
            async with self._engine.connect() as connection:
                found = await connection.scalar(select(func.max(looks_placed.c.position)))
        return Place(found, 0) if found else BEGINNING

    async def read(self, journal: str, after: Place) -> Read:
        """See Feed."""
        high = await self.high(journal)
        if high <= after:
            return Read([], after)
        placed = looks_placed.c
        between = (placed.position > after.position, placed.position <= high.position)
        wanted = select(placed.position, looks).join(looks, looks.c.id == placed.look).where(*between).order_by(placed.position)
        with retryable(_READING):
            async with self._engine.connect() as connection:
                rows = (await connection.execute(wanted.limit(BATCH))).all()
        outputs, damaged = list[Output](), list[Damaged]()
        for row in rows:
            place = Place(row.position, 0)
            try:
                outputs.append(Output(place, (look_event(row),)))
            except DamagedError as error:
                damaged.append(Damaged(place, remains(row.exchanges), str(error)))
        return Read(outputs, Place(rows[-1].position, 0) if len(rows) == BATCH else high, damaged)

    async def close(self) -> None:
        """See Feed."""
        await self._lease.give_up()
        await self._engine.dispose()


def open_look_relay(settings: Settings, clock: Clock, letters: DeadLetters, metrics: RelayMetrics) -> tuple[Relay, Ends]:
    """The relay, which the caller runs, and its ends, which the caller closes. Nothing connects before it is first asked for something."""
    topics = {LOOK_TYPE: settings.kafka.access_topic}
    ends = Ends(LookFeed(open_engine(settings.sink)), KafkaSink(settings.kafka, LOOKS, topics=topics))
    meter = metrics.meter(LOOKS)
    return Relay(LOOKS, *ends, letters, clock, types=frozenset(topics), random=random.random, meter=meter), ends


async def look_at_looks(settings: Settings) -> Reached:
    """How far it is; what is only read disturbs no relay that runs. Raises RetryableError: one of both ends does not answer."""
    feed = LookFeed(open_engine(settings.sink))
    try:
        place = await committed_in_kafka(settings, LOOKS, LOOKS, settings.kafka.access_topic)
        return Reached(LOOKS, "kafka", LOOKS, place, await feed.high(LOOKS))
    finally:
        await feed.close()
