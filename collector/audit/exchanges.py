"""GET /v1/exchanges and GET /v1/exchanges/{id}: records, as they are stored."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy import ColumnElement, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.audit import documents, mark_queries
from collector.audit import exchange_queries as queries
from collector.audit.asking import Asked, asked
from collector.audit.cursors import Cursor
from collector.audit.exchange_queries import Way
from collector.audit.marked import Sought
from collector.audit.marked import find as find_marked
from collector.audit.moments import Span, rfc3339
from collector.audit.pages import Page, answer, read
from collector.audit.parameters import After, ExchangeQuery, Exchanges, Revision, after
from collector.audit.problems import BadParametersError, Fault
from collector.audit.records import records
from collector.audit.revisions import find
from collector.clock import Clock
from collector.messages.event import Place
from collector.settings import Audit
from collector.store.schema import exchanges

_BEGINNING = Place(-1, -1)
_EVERYTHING = true()


def router(engine: AsyncEngine, settings: Audit, clock: Clock) -> APIRouter:
    """The routes of records."""
    routes = APIRouter(tags=["exchanges"])

    @routes.get("/v1/exchanges", responses=documents.EXCHANGES, summary="Exchanges that match")
    async def list_exchanges(request: Request, query: Exchanges) -> Response:
        page = asked(request, query, settings)
        list_page = _stored if query.order == "stored" else _by_time
        async with engine.connect() as connection:
            return await list_page(connection, query, page, page.within(query, clock))

    @routes.get("/v1/exchanges/{id}", responses=documents.EXCHANGE, summary="One exchange")
    async def get_exchange(id: str, query: Revision) -> Response:  # noqa: A002
        async with engine.connect() as connection:
            found = await find(connection, id, query.revision, exchanges.c.id, exchanges.c.crc, exchanges.c.data)
            [record] = await records(connection, found[:1])
        return Response(record, media_type="application/json")

    return routes


async def _by_time(connection: AsyncConnection, query: ExchangeQuery, page: Asked, within: Span) -> Response:
    if query.after is not None:
        raise BadParametersError([Fault("after", "goes with order=stored only")])
    behind = page.cursor.key if page.cursor else None
    if mark_queries.is_bounded(query):
        marked = await find_marked(connection, Sought(query, within), behind, page.limit)
        return answer(
            await records(connection, marked.rows),
            next=page.next(marked.next, within),
            complete_from=await _complete_from(connection, query),
        )
    found = await (_found if connection.dialect.name == "sqlite" else _planned)(connection, query, within, behind, page.limit)
    return answer(await records(connection, found.rows), next=page.next(found.rows[-1].id if found.more else None, within))


async def _complete_from(connection: AsyncConnection, query: ExchangeQuery, seen: ColumnElement[bool] = _EVERYTHING) -> str | None:
    """From when on all exchanges have marks, if they have none before."""
    if not mark_queries.groups(query):
        return None
    newest = (await connection.execute(mark_queries.newest_unmarked(seen))).scalar_one_or_none()
    return None if newest is None else rfc3339(newest + 1)


async def _planned(connection: AsyncConnection, query: ExchangeQuery, within: Span, behind: str | None, limit: int) -> Page:
    """The page, as the database plans it by its statistics."""
    return await read(connection, queries.page(query, within, behind, limit + 1), limit)


async def _found(connection: AsyncConnection, query: ExchangeQuery, within: Span, behind: str | None, limit: int) -> Page:
    """The page out of an SQLite file, which keeps no statistics: so what is asked for is counted, up to a bound, before it is read."""
    leading, way = await _rarest(connection, query), Way.AS_PLANNED
    if (size := queries.size_of_range(query)) is not None:
        way = Way.SORTED if (await connection.execute(size)).scalar_one() < queries.MANY else Way.LOOKED_THROUGH
    if way is Way.LOOKED_THROUGH:
        edge = (await connection.execute(queries.edge_of(query, within, behind))).scalar_one_or_none()
        found = await read(connection, queries.page(query, within, behind, limit + 1, way, edge, leading), limit)
        if found.more or edge is None:
            return found
        way = Way.SORTED  # they lie far from here
    return await read(connection, queries.page(query, within, behind, limit + 1, way, None, leading), limit)


async def _rarest(connection: AsyncConnection, query: ExchangeQuery) -> str | None:
    """Of several values that are asked for, the one that the fewest exchanges have."""
    sizes = queries.sizes_of_values(query)
    if sizes is None:
        return None
    counted: dict[str, int] = dict((await connection.execute(sizes)).one()._mapping)
    return min(counted, key=counted.__getitem__)


async def _stored(connection: AsyncConnection, query: ExchangeQuery, page: Asked, within: Span) -> Response:
    """One journal after the other. What the store holds is read first: rows that come meanwhile belong to the next answer."""
    start = _after(page.cursor, query)
    high = {row.journal: Place(row.position, row.ordinal) for row in await connection.execute(queries.stored_places())}
    reached = high.copy() if start.now else dict(start.places)
    items: list[bytes] = []
    more = False
    for journal, end in high.items():
        low = reached.get(journal, _BEGINNING)
        if low >= end:
            continue
        if more := len(items) == page.limit:
            break
        room = page.limit - len(items)
        rows, more = await read(connection, queries.stored_page(query, within, journal, low, end, room + 1), room)
        items += await records(connection, rows)
        reached[journal] = Place(rows[-1].position, rows[-1].ordinal) if more else end
        if more:
            break
    place = ",".join(f"{journal}:{at.position}:{at.ordinal}" for journal, at in sorted(reached.items()))
    complete_from = await _complete_from(connection, query)
    return answer(items, next=page.next(place if more else None, within), after=place, complete_from=complete_from)


def _after(cursor: Cursor | None, query: ExchangeQuery) -> After:
    if cursor is None:
        return query.after or After(())
    try:
        return after(cursor.key)
    except ValueError as error:
        raise BadParametersError([Fault("cursor", str(error))]) from None
