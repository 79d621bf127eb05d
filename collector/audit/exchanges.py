"""GET /v1/exchanges and GET /v1/exchanges/{id}: records, as they are stored."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Reach, Right
from collector.audit import documents
from collector.audit import exchange_queries as queries
from collector.audit.asking import Asked, asked
from collector.audit.cursors import Cursor
from collector.audit.exchange_queries import Way
from collector.audit.looking import reach
from collector.audit.moments import Span
from collector.audit.pages import Page, answer, read
from collector.audit.parameters import After, ExchangeQuery, Exchanges, Revision, after
from collector.audit.problems import BadParametersError, Fault
from collector.audit.records import shown
from collector.audit.revisions import find
from collector.clock import Clock
from collector.messages.event import Place
from collector.settings import Audit
from collector.store.schema import exchanges

_BEGINNING = Place(-1, -1)
_COLUMNS = (exchanges.c.id, exchanges.c.exchange, exchanges.c.crc, exchanges.c.data)


def router(engine: AsyncEngine, settings: Audit, clock: Clock) -> APIRouter:
    """The routes of records."""
    routes = APIRouter(tags=["exchanges"])

    @routes.get("/v1/exchanges", responses=documents.EXCHANGES, summary="Exchanges that match")
    async def list_exchanges(request: Request, query: Exchanges) -> Response:
        covered = reach(request, Right.EXCHANGES)
        _may_ask(request, query)
        page = asked(request, query, settings, covered)
        list_page = _stored if query.order == "stored" else _by_time
        async with engine.connect() as connection:
            return await list_page(connection, request, Listed(query, page, page.within(query, clock), queries.beyond(query, covered)))

    @routes.get("/v1/exchanges/{id}", responses=documents.EXCHANGE, summary="One exchange")
    async def get_exchange(request: Request, id: str, query: Revision) -> Response:  # noqa: A002
        covered = reach(request, Right.EXCHANGES)
        async with engine.connect() as connection:
            found = await find(connection, id, query.revision, *_COLUMNS, reach=covered)
            [record] = await shown(request, connection, found[:1], "record")
        return Response(record, media_type="application/json")

    return routes


def _may_ask(request: Request, query: ExchangeQuery) -> None:
    """A query of a path is a text: who may not see it must not find it out by asking. Raises ForbiddenError."""
    if query.path is not None and "?" in query.path:
        reach(request, Right.TEXTS)


class Listed(NamedTuple):
    """What a list is of: the query, its page, its span of time, and how far who asks may see beyond what the query says itself."""

    query: ExchangeQuery
    page: Asked
    within: Span
    reach: Reach

    @property
    def behind(self) -> str | None:
        return self.page.cursor.key if self.page.cursor else None


async def _by_time(connection: AsyncConnection, request: Request, of: Listed) -> Response:
    if of.query.after is not None:
        raise BadParametersError([Fault("after", "goes with order=stored only")])
    found = await (_found if connection.dialect.name == "sqlite" else _planned)(connection, of)
    items = await shown(request, connection, found.rows, "list")
    return answer(items, next=of.page.next(found.rows[-1].id if found.more else None, of.within))


async def _planned(connection: AsyncConnection, of: Listed) -> Page:
    """The page, as the database plans it by its statistics."""
    limit = of.page.limit
    return await read(connection, queries.page(of.query, of.within, of.behind, limit + 1, reach=of.reach), limit)


async def _found(connection: AsyncConnection, of: Listed) -> Page:
    """The page out of an SQLite file, which keeps no statistics: so what is asked for is counted, up to a bound, before it is read."""
    query, limit = of.query, of.page.limit
    way, leading, edge = Way.AS_PLANNED, await _rarest(connection, query, of.reach), None
    if (size := queries.size_of_range(query)) is not None:
        way = Way.SORTED if (await connection.execute(size)).scalar_one() < queries.MANY else Way.LOOKED_THROUGH
    if way is not Way.SORTED and leading == queries.REACH:
        way = Way.MERGED
    if way is Way.LOOKED_THROUGH:
        edge = (await connection.execute(queries.edge_of(query, of.within, of.behind))).scalar_one_or_none()
        found = await read(connection, queries.page(query, of.within, of.behind, limit + 1, way, edge, leading, of.reach), limit)
        if found.more or edge is None:
            return found
        way = Way.SORTED  # they lie far from here
    return await read(connection, queries.page(query, of.within, of.behind, limit + 1, way, None, leading, of.reach), limit)


async def _rarest(connection: AsyncConnection, query: ExchangeQuery, reach: Reach) -> str | None:
    """Of several values that are asked for, the one that the fewest exchanges have. A reach that is limited is one of them."""
    sizes = queries.sizes_of_values(query, reach)
    if sizes is None:
        return None if reach.everything or query.request_id is not None else queries.REACH
    counted: dict[str, int] = dict((await connection.execute(sizes)).one()._mapping)
    return min(counted, key=counted.__getitem__)


async def _stored(connection: AsyncConnection, request: Request, of: Listed) -> Response:
    """One journal after the other. What the store holds is read first: rows that come meanwhile belong to the next answer.

    Places are told of what may be seen alone: how far a journal has come tells how much others have.
    """
    page, start = of.page, _after(of.page.cursor, of.query)
    few = await _few(connection, of.reach)
    high = await _high(connection, of.reach, few)
    reached = high.copy() if start.now else dict(start.places)
    rows: list[Row[Any]] = []
    more = False
    for journal, end in high.items():
        low = reached.get(journal, _BEGINNING)
        if low >= end:
            continue
        if more := len(rows) == page.limit:
            break
        room = page.limit - len(rows)
        some, more = await read(connection, queries.stored_page(of.query, of.within, journal, low, end, room + 1, of.reach, few), room)
        rows += some
        reached[journal] = Place(some[-1].position, some[-1].ordinal) if more else end
        if more:
            break
    place = ",".join(f"{journal}:{at.position}:{at.ordinal}" for journal, at in sorted(reached.items()))
    items = await shown(request, connection, rows, "list")
    return answer(items, next=page.next(place if more else None, of.within), after=place)


async def _few(connection: AsyncConnection, reach: Reach) -> bool:
    """Whether SQLite had better find what is within the reach, and sort it, than look for it in the order of storage."""
    if reach.everything or connection.dialect.name != "sqlite":
        return False
    return int((await connection.execute(queries.size_within(reach))).scalar_one()) < queries.MANY


async def _high(connection: AsyncConnection, reach: Reach, few: bool) -> dict[str, Place]:
    """By journal, the newest place of what is stored and within the reach."""
    high = {row.journal: Place(row.position, row.ordinal) for row in (await connection.execute(queries.stored_places())).all()}
    if reach.everything:
        return high
    found = {name: (await connection.execute(queries.newest_place(name, reach, few))).one_or_none() for name in high}
    return {name: Place(row.position, row.ordinal) for name, row in found.items() if row is not None}


def _after(cursor: Cursor | None, query: ExchangeQuery) -> After:
    if cursor is None:
        return query.after or After(())
    try:
        return after(cursor.key)
    except ValueError as error:
        raise BadParametersError([Fault("cursor", str(error))]) from None
