"""The feed from the SQL store, SQLite or Postgres: per journal in the order of (position, ordinal), never beyond `places.high`.

What is at or below `high` was committed together with it, so nothing can appear there later: the order has no gaps. The events are made
again from the rows; the usage event from the record. A batch is bounded in outputs and in bytes: lengths are looked at before the data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import orjson
from sqlalchemy import ColumnElement, Table, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.describe.identity import event_id
from collector.describe.usage import usage_event
from collector.errors import DamagedError
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, USAGE_TYPE, Event, Output, Place
from collector.relays.lease import Lease
from collector.relays.protocol import Damaged, Read
from collector.sinks.protocol import BEGINNING
from collector.store.errors import retryable
from collector.store.events import exchange_event, ledger_event, payload_event
from collector.store.partitions import edge
from collector.store.schema import exchanges, ledger, payloads, places
from collector.store.sound import remains
from collector.store.sql_types import FoundRow, Statement

_DIRECTIONS = {REQUEST_TYPE: "request", RESPONSE_TYPE: "response"}
_READING = "relay: the SQL store"


class _Chosen(NamedTuple):
    """Which rows make the next batch: up to `last`; `whole` if that is all there is up to `high`."""

    last: Place
    whole: bool


class SqlFeed:
    """See protocol.Feed. `types`: the CloudEvents types that are wanted; what only others need is not read. Disposes of the engine."""

    def __init__(self, engine: AsyncEngine, types: frozenset[str], batch: int, batch_bytes: int, relay: str | None = None) -> None:
        """`relay`: the name under which one process at a time has it; None: who only looks."""
        self.generation = 0
        self._lease = Lease(engine, relay) if relay is not None else None
        self._leads = False
        self._engine, self._types, self._batch, self._batch_bytes = engine, types, batch, batch_bytes
        self._tables = [exchanges] if types - {LEDGER_TYPE} else []
        if LEDGER_TYPE in types:
            self._tables.append(ledger)
        self._directions = [direction for kind, direction in _DIRECTIONS.items() if kind in types]

    async def journals(self) -> Sequence[str]:
        """See Feed. None of them while another process has the relay."""
        if not await self._may_read():
            return []
        with retryable(_READING):
            async with self._engine.connect() as connection:
                return [row.journal for row in await connection.execute(select(places.c.journal).order_by(places.c.journal))]

    async def high(self, journal: str) -> Place:
        """See Feed."""
        with retryable(_READING):
            async with self._engine.connect() as connection:
                return await _high(connection, journal)

    async def read(self, journal: str, after: Place) -> Read:
        """See Feed."""
        with retryable(_READING):
            async with self._engine.connect() as connection:
                high = await _high(connection, journal)
                if high <= after:
                    return Read([], after)
                chosen = await self._choose(connection, journal, after, high)
                rows: list[FoundRow] = []
                for table in self._tables:
                    wanted = select(table).where(_between(table, journal, after, chosen.last))
                    rows += (await connection.execute(wanted)).all()
                bodies = await self._bodies(connection, [row for row in rows if hasattr(row, "exchange")])
        rows.sort(key=attrgetter("position", "ordinal"))
        return await asyncio.to_thread(self._made, rows, bodies, high if chosen.whole else chosen.last)

    async def first_behind(self, journal: str, after: Place, before: int) -> str | None:
        """The lowest id behind `after` of those older than the day `before` (since 1970-01-01, UTC); None if there is none."""
        found = []
        with retryable(_READING):
            async with self._engine.connect() as connection:
                for table in self._tables:
                    place = tuple_(table.c.position, table.c.ordinal)
                    old = (table.c.id < edge(before)) & (table.c.journal == journal) & (place > tuple_(*after))
                    found.append((await connection.execute(select(func.min(table.c.id)).where(old))).scalar_one())
        return min((identity for identity in found if identity is not None), default=None)

    async def _choose(self, connection: AsyncConnection, journal: str, after: Place, high: Place) -> _Chosen:
        """As many outputs as fit, at least one. Stored payloads count as they are stored: compressed."""
        found: list[FoundRow] = []
        for table in self._tables:
            found += (await connection.execute(_lengths(table, journal, after, high, self._batch))).all()
        found.sort(key=attrgetter("position", "ordinal"))
        more = len(found) >= self._batch
        found = found[: self._batch]
        sizes = await self._payload_lengths(connection, found)
        total = 0
        for number, row in enumerate(found):
            total += row.length + sum(sizes.get(name, 0) for name in self._payload_ids(row))
            if total > self._batch_bytes and number:
                before = found[number - 1]
                return _Chosen(Place(before.position, before.ordinal), False)
        return _Chosen(Place(found[-1].position, found[-1].ordinal), False) if more and found else _Chosen(high, True)

    async def _payload_lengths(self, connection: AsyncConnection, rows: Iterable[FoundRow]) -> dict[str, int]:
        ids = [name for row in rows for name in self._payload_ids(row)]
        if not ids:
            return {}
        lengths = select(payloads.c.id, _length(payloads)).where(payloads.c.id.in_(ids))
        return {row.id: row.length for row in await connection.execute(lengths)}

    async def _bodies(self, connection: AsyncConnection, rows: Iterable[FoundRow]) -> dict[str, FoundRow]:
        ids = [name for row in rows for name in self._payload_ids(row)]
        if not ids:
            return {}
        return {row.id: row for row in await connection.execute(select(payloads).where(payloads.c.id.in_(ids)))}

    def _payload_ids(self, row: FoundRow) -> list[str]:
        exchange = getattr(row, "exchange", None)
        return [event_id(exchange, direction, row.revision) for direction in self._directions] if exchange else []

    def _made(self, rows: Sequence[FoundRow], bodies: dict[str, FoundRow], place: Place) -> Read:
        """Stops where the bodies, decompressed, become too many bytes."""
        outputs: list[Output] = []
        damaged: list[Damaged] = []
        total = 0
        for row in rows:
            at = Place(row.position, row.ordinal)
            events = self._events(row, bodies, damaged, at)
            total += sum(len(event.data) for event in events)
            if total > self._batch_bytes and outputs:
                return Read(outputs, outputs[-1].place, [found for found in damaged if found.place < at])
            if events:
                outputs.append(Output(at, tuple(events)))
        return Read(outputs, place, damaged)

    def _events(self, row: FoundRow, bodies: dict[str, FoundRow], damaged: list[Damaged], at: Place) -> list[Event]:
        """Those of one row, in the order of describe."""
        is_window = not hasattr(row, "exchange")
        try:
            own = ledger_event(row) if is_window else exchange_event(row)
        except DamagedError as error:
            damaged.append(Damaged(at, remains(row.data), str(error)))
            return []
        if is_window:
            return [own]
        events = [own] if EXCHANGE_TYPE in self._types else []
        for name in self._payload_ids(row):
            if name in bodies:
                try:
                    events.append(payload_event(bodies[name]))
                except DamagedError as error:
                    damaged.append(Damaged(at, remains(bodies[name].data), str(error)))
        if USAGE_TYPE in self._types:
            try:
                usage = usage_event(orjson.loads(own.data), own.source, own.subject, own.time_us)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                damaged.append(Damaged(at, own.data, f"no usage event can be made of record {row.id}: {error!r}"))
            else:
                events += [usage] if usage is not None else []
        return events

    async def _may_read(self) -> bool:
        if self._lease is None:
            return True
        led, self._leads = self._leads, False  # unknown until it is known
        self._leads = await self._lease.held()
        if self._leads and not led:
            self.generation += 1  # another process may have been at it
        return self._leads

    async def close(self) -> None:
        """See Feed."""
        if self._lease is not None:
            await self._lease.give_up()
        await self._engine.dispose()


async def _high(connection: AsyncConnection, journal: str) -> Place:
    wanted = select(places.c.position, places.c.ordinal).where(places.c.journal == journal)
    row = (await connection.execute(wanted)).one_or_none()
    return Place(row.position, row.ordinal) if row else BEGINNING


def _between(table: Table, journal: str, after: Place, last: Place) -> ColumnElement[bool]:
    place = tuple_(table.c.position, table.c.ordinal)
    return (table.c.journal == journal) & (place > tuple_(*after)) & (place <= tuple_(*last))


def _length(table: Table) -> ColumnElement[int]:
    """Of the data. A damaged row's may be none."""
    return func.coalesce(func.length(table.c.data), 0).label("length")


def _lengths(table: Table, journal: str, after: Place, high: Place, limit: int) -> Statement:
    columns = [table.c.position, table.c.ordinal, _length(table)]
    if table is exchanges:
        columns += [table.c.exchange, table.c.revision]
    wanted = select(*columns).where(_between(table, journal, after, high))
    return wanted.order_by(table.c.position, table.c.ordinal).limit(limit)
