"""The feed of looks: who has looked at the log, in the order in which it was committed to the SQL store. To a relay it is one journal.

Positions are committed one after the other (access/look_writer.py), so behind the highest that can be read nothing appears below it. A look
that retention has ended before it was copied is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.stored_looks import look_event
from collector.errors import DamagedError
from collector.messages.event import Output, Place
from collector.relays.lease import Lease
from collector.relays.protocol import Damaged, Read
from collector.settings.root import LOOKS
from collector.sinks.protocol import BEGINNING
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
