"""The rows that facets and histograms count: the newest that match, up to a budget of rows and of time.

They are read backwards in slices of time, each twice as long as the one before: a server that is asked for the newest of all may read
all that match, to sort them. Where few match a range of values, SQLite reads them by the index of those, in one go if they are no more
than the budget.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit import exchange_queries as queries
from collector.audit import mark_queries
from collector.audit.exchange_queries import Way
from collector.audit.marked import Sought, find
from collector.audit.moments import Span
from collector.audit.pages import read
from collector.store.sql_types import FoundRow

ROWS = 10_000
SECONDS = 2.0  # then what was counted is answered
_AT_ONCE = 5_000
FIRST_US = 86_400_000_000  # of the newest slice
LAST_US = 64 * FIRST_US  # what is older than such a slice is the last one
_RANGE = 50_000  # rows of a range of values: of more, SQLite looks through all rows in the order of time


class Gathered(NamedTuple):
    """`ended_at`: the id up to which was counted, where the budget ended it."""

    rows: list[FoundRow]
    ended_at: str | None


async def gather(connection: AsyncConnection, sought: Sought, budget: int = ROWS) -> Gathered:
    """Whoever asks for indexed values alone gets them in one go; else steps are taken until the budget ends."""
    if not mark_queries.is_bounded(sought.query):
        return await _in_slices(connection, sought, budget)
    sought = sought._replace(at_once=_AT_ONCE)
    rows: list[FoundRow] = []
    behind, until = None, time.monotonic() + SECONDS
    while len(rows) < budget and time.monotonic() < until:
        found = await find(connection, sought, behind, min(_AT_ONCE, budget - len(rows)))
        rows += found.rows
        behind = found.next
        if behind is None:
            break
    return Gathered(rows, behind)


async def in_range(connection: AsyncConnection, query: queries.InTime) -> int | None:
    """How many exchanges are in the range of values that SQLite is to find them by; None: it is no such range, or too many are."""
    if connection.dialect.name != "sqlite" or mark_queries.is_bounded(query):
        return None
    size = queries.size_of_range(query, _RANGE)
    found = (await connection.execute(size)).scalar_one() if size is not None else _RANGE
    return found if found < _RANGE else None


async def _in_slices(connection: AsyncConnection, sought: Sought, budget: int) -> Gathered:
    few = await in_range(connection, sought.query)
    way = Way.AS_PLANNED if few is None else Way.BY_RANGE
    rows: list[FoundRow] = []
    async for slice_ in _slices(connection, sought, whole=few is not None and few <= budget):
        room = budget - len(rows)
        statement = queries.page(sought.query, slice_, None, room + 1, way).with_only_columns(*sought.columns).where(sought.seen)
        page = await read(connection, statement, room, at_once=_AT_ONCE)
        rows += page.rows
        if page.more:
            return Gathered(rows, rows[-1].id)
    return Gathered(rows, None)


async def _slices(connection: AsyncConnection, sought: Sought, whole: bool) -> AsyncIterator[Span]:
    """The whole time, the newest slice first; all at once if `whole`, or where the oldest are asked for."""
    since, until = sought.within
    if whole or sought.query.order != "desc":
        yield sought.within
        return
    newest = (await connection.execute(queries.edge_of(sought.query, sought.within, None, 1))).scalar_one_or_none()
    if newest is None:
        return
    start, length = _time_of(newest), FIRST_US
    while length < LAST_US and start - length > (since or 0):
        start -= length
        yield Span(start, until)
        until, length = start, 2 * length
    yield Span(since, until)


def _time_of(event: str) -> int:
    """µs since the epoch, of an event's id; of a damaged one 0: then there is one slice."""
    digits = event[:8] + event[9:13]
    try:
        return (int(digits, 16) + 1) * 1000
    except ValueError:
        return 0


def class_of(status: int | None) -> str:
    """The class of a status, as the filter takes it."""
    return f"{status // 100}xx" if status is not None else "none"
