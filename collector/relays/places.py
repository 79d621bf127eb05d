"""Where relays keep their places when their target cannot: the SQL store's table `relays`."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.messages.event import Place
from collector.sinks.protocol import BEGINNING
from collector.store.engine import inserting
from collector.store.errors import retryable
from collector.store.schema import relays


class Places(Protocol):
    """The places of one relay, by journal. Every method raises RetryableError."""

    async def get(self, journal: str) -> Place:
        """BEGINNING if there is none."""
        ...

    async def set(self, journal: str, place: Place) -> None:
        """Durable when it returns. A place never goes back."""
        ...

    async def close(self) -> None:
        """Gives up the connections."""
        ...


class SqlPlaces:
    """See Places. Disposes of the engine."""

    def __init__(self, engine: AsyncEngine, relay: str) -> None:
        self._engine, self._relay = engine, relay

    async def get(self, journal: str) -> Place:
        """See Places."""
        wanted = select(relays.c.position, relays.c.ordinal).where(relays.c.relay == self._relay, relays.c.journal == journal)
        with retryable(f"relay {self._relay}: its place"):
            async with self._engine.connect() as connection:
                row = (await connection.execute(wanted)).one_or_none()
        return Place(row.position, row.ordinal) if row else BEGINNING

    async def set(self, journal: str, place: Place) -> None:
        """See Places."""
        insert = inserting(self._engine, relays)
        new = insert.excluded
        upsert = insert.on_conflict_do_update(
            index_elements=["relay", "journal"],
            set_={"position": new.position, "ordinal": new.ordinal},
            where=tuple_(relays.c.position, relays.c.ordinal) < tuple_(new.position, new.ordinal),
        )
        row = {"relay": self._relay, "journal": journal, "position": place.position, "ordinal": place.ordinal}
        with retryable(f"relay {self._relay}: its place"):
            async with self._engine.begin() as connection:
                await connection.execute(upsert, row)

    async def close(self) -> None:
        """See Places."""
        await self._engine.dispose()
