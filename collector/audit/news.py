"""What was stored since a place, for several readers at once: one statement asks for all of them which rows each one's filters let through,
a second one reads the rows that any of them wants.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, and_, case, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import Reach
from collector.audit import exchange_queries as queries
from collector.audit.pages import PORTIONS, Portions, read
from collector.messages.event import Place
from collector.store.schema import exchanges
from collector.store.sql_types import Condition, FoundRow, Statement

AT_ONCE = 25  # readers' conditions in one statement
BEGINNING = Place(-1, -1)
Places = dict[str, Place]
Show = Callable[[AsyncConnection, Sequence[FoundRow]], Awaitable[tuple[list[bytes], set[str]]]]  # records, and whose texts are in
_column = exchanges.c
_PLACE = tuple_(_column.position, _column.ordinal)


@dataclass(slots=True, eq=False)
class Wish:
    """What readers with the same filters and the same rights are shown. `places`: up to where they know it.

    `everything`: they may see all; only then may an id tell how far the journals have come.
    """

    conditions: Sequence[Condition]
    show: Show
    everything: bool
    places: Places = field(default_factory=dict)

    def matches(self) -> ColumnElement[int]:
        """1 where a row is one of these."""
        return case((and_(true(), *self.conditions), 1), else_=0)


class Chunk(NamedTuple):
    """Events as they are sent, how many, the place behind them, and the exchanges whose texts are in them."""

    data: bytes
    number: int
    place: str
    texts: tuple[str, ...] = ()


async def high(connection: AsyncConnection) -> Places:
    """What the store holds."""
    return {row.journal: Place(row.position, row.ordinal) for row in await connection.execute(queries.stored_places())}


async def seen(connection: AsyncConnection, covered: Reach, few: bool = False) -> Places:
    """By journal, the newest place of what lies within the reach: that of all would tell how much others have. `few`: see newest_place."""
    held = await high(connection)
    if covered.everything:
        return held
    found = {name: (await connection.execute(queries.newest_place(name, covered, few))).one_or_none() for name in held}
    return {name: Place(row.position, row.ordinal) for name, row in found.items() if row is not None}


async def news(
    connection: AsyncConnection, low: Places, end: Places, wishes: Sequence[Wish], portions: Portions = PORTIONS
) -> tuple[Places, dict[Wish, Chunk]]:
    """The next of what was stored behind `low`, up to `end`: the places then, and for each wish what it is shown of it, if anything."""
    for journal, last in end.items():
        first = low.get(journal, BEGINNING)
        if first < last:
            return await _of_journal(connection, journal, first, last, low, wishes, portions)
    return low, {}


async def _of_journal(
    connection: AsyncConnection, journal: str, first: Place, last: Place, low: Places, wishes: Sequence[Wish], portions: Portions
) -> tuple[Places, dict[Wish, Chunk]]:
    flags = await _flags(connection, journal, first, last, wishes, portions.tail_rows)
    if len(flags) == portions.tail_rows:
        last = list(flags)[-1]
    wanted = [place for place, matching in flags.items() if matching]
    found: dict[Place, FoundRow] = {}
    if wanted:
        page = await read(connection, _rows(journal, wanted, portions.tail_rows), portions.tail_rows, portions.tail_bytes)
        found = {Place(row.position, row.ordinal): row for row in page.rows}
        last = list(found)[-1] if page.more else last
    chunks = {}
    for wish in wishes:
        rows = [row for place, row in found.items() if wish in flags[place]]
        if rows:
            chunks[wish] = await _chunk(connection, wish, journal, rows, low)
    reached = {**low, journal: last}
    for wish in wishes:
        wish.places = reached if wish.everything else wish.places
    return reached, chunks


async def _flags(
    connection: AsyncConnection, journal: str, first: Place, last: Place, wishes: Sequence[Wish], rows: int
) -> dict[Place, list[Wish]]:
    """The places of the next rows, each with the wishes that its row fulfils."""
    found: dict[Place, list[Wish]] = {}
    for start in range(0, len(wishes), AT_ONCE):
        some = wishes[start : start + AT_ONCE]
        columns = [wish.matches().label(f"wish_{number}") for number, wish in enumerate(some)]
        between = (_column.journal == journal, tuple_(*first) < _PLACE, tuple_(*last) >= _PLACE, *queries.placed())
        statement = select(_column.position, _column.ordinal, *columns).where(*between).order_by(_column.position, _column.ordinal)
        for row in await connection.execute(statement.limit(rows)):
            matching = [wish for wish, flag in zip(some, row[2:], strict=True) if flag]
            found.setdefault(Place(row.position, row.ordinal), []).extend(matching)
        last = max(found) if len(found) >= rows else last
    return {place: matching for place, matching in found.items() if place <= last}


def _rows(journal: str, wanted: Sequence[Place], limit: int) -> Statement:
    columns = (_column.position, _column.ordinal, _column.id, _column.exchange, _column.crc, _column.data)
    between = (_column.journal == journal, tuple_(*wanted[0]) <= _PLACE, tuple_(*wanted[-1]) >= _PLACE, *queries.placed())
    these = _PLACE.in_([tuple(place) for place in wanted])
    return select(*columns).where(*between, these).order_by(_column.position, _column.ordinal).limit(limit + 1)


async def _chunk(connection: AsyncConnection, wish: Wish, journal: str, rows: Sequence[FoundRow], low: Places) -> Chunk:
    records, shown = await wish.show(connection, rows)
    if wish.everything:
        wish.places = low
    events = []
    for row, record in zip(rows, records, strict=True):
        wish.places = {**wish.places, journal: Place(row.position, row.ordinal)}
        events.append(b"".join(_event(written(wish.places), record)))
    texts = tuple(dict.fromkeys(row.exchange for row in rows if row.id in shown))
    return Chunk(b"".join(events), len(events), written(wish.places), texts)


def _event(place: str, record: bytes) -> Iterator[bytes]:
    """An event of server-sent events. A record is one line, unless it was written by hand."""
    one_line = record if b"\n" not in record and b"\r" not in record else msgspec.json.format(record, indent=-1)
    yield b"id: %s\nevent: exchange\ndata: " % place.encode()
    yield one_line
    yield b"\n\n"


def written(reached: Mapping[str, Place]) -> str:
    """Places as text: an event's id, and what order=stored takes as `after`. A journal that is left out is read from its beginning."""
    return ",".join(f"{journal}:{at.position}:{at.ordinal}" for journal, at in sorted(reached.items()) if at > BEGINNING)
