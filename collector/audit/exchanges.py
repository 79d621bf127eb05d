"""GET /v1/exchanges and GET /v1/exchanges/{id}: records, as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from sqlalchemy import ColumnElement, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import EVERYTHING, Reach, Right
from collector.audit import documents, mark_queries, status_queries, text_queries
from collector.audit import exchange_queries as queries
from collector.audit.asking import Asked, asked
from collector.audit.bodiless import tagged
from collector.audit.cursors import Cursor
from collector.audit.exchange_queries import Way
from collector.audit.hints import Among
from collector.audit.looking import reach, together
from collector.audit.looking import within as within_reach
from collector.audit.marked import Sought
from collector.audit.marked import find as find_marked
from collector.audit.moments import Span, rfc3339
from collector.audit.news import BEGINNING, seen, written
from collector.audit.pages import PORTIONS, Page, Portions, Room, answer, read
from collector.audit.parameters import ExchangeFilters, ExchangeQuery, Exchanges, Revision, TailQuery
from collector.audit.problems import BadParametersError, Fault
from collector.audit.records import find, shown
from collector.audit.values import After, after
from collector.clock import Clock
from collector.messages.event import Place
from collector.settings import Audit
from collector.store.schema import exchanges
from collector.store.sql_types import Condition, FoundRow

MARKED_US = 60_000_000  # for so long it is believed that all have marks
_COLUMNS = (exchanges.c.id, exchanges.c.exchange, exchanges.c.crc, exchanges.c.data)


def router(engine: AsyncEngine, settings: Audit, clock: Clock, portions: Portions) -> APIRouter:
    """The routes of records."""
    routes, marked = APIRouter(tags=["exchanges"]), AllMarked(clock)

    @routes.get("/v1/exchanges", responses=documents.EXCHANGES, summary="Exchanges that match")
    async def list_exchanges(request: Request, query: Exchanges) -> Response:
        covered = reach(request, Right.EXCHANGES)
        also = may_ask(request, query)
        page = asked(request, query, settings, covered)
        list_page = _stored if query.order == "stored" else _by_time
        # Places, and the ids at which steps end, are told only of what may be seen, also where the query names a namespace itself.
        tells_others = query.order == "stored" or mark_queries.is_bounded(query)
        narrowed = covered if tells_others else queries.beyond(query, covered)
        async with engine.connect() as connection:
            return await list_page(connection, request, Listed(query, page, page.within(query, clock), narrowed, portions, marked, also))

    @routes.get("/v1/exchanges/{id}", responses=documents.EXCHANGE, summary="One exchange")
    async def get_exchange(request: Request, id: str, query: Revision) -> Response:  # noqa: A002
        covered = reach(request, Right.EXCHANGES)
        async with engine.connect() as connection:
            found = await find(connection, id, query.revision, *_COLUMNS, reach=covered)
            [record] = await shown(request, connection, found[:1], "record")
        return tagged(request, Response(record, media_type="application/json"))

    return routes


def may_ask(request: Request, query: ExchangeFilters) -> Sequence[ColumnElement[bool]]:
    """A query of a path is a text: who may not see it must not find it out by asking. What must hold, where he asks for texts, of what he
    finds: that he may see its texts. Raises ForbiddenError; BadParametersError: texts are not searched here.
    """
    if query.path is not None and "?" in query.path:
        reach(request, Right.TEXTS)
    if query.text is None:
        return ()
    if not getattr(request.app.state, "text_is_searched", False):
        raise BadParametersError([Fault("text", "texts are not searched here: that needs the setting search.text: true")])
    if isinstance(query, TailQuery) or getattr(query, "order", None) == "stored":
        raise BadParametersError([Fault("text", "goes with an order of time only: not with order=stored, and not with the tail")])
    return (within_reach(reach(request, Right.TEXTS), exchanges),)


class AllMarked:
    """Whether all exchanges have marks, whoever may see them. That they have is believed for a while: only an older version that writes
    beside this one could change it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._until_us = clock, 0

    async def known(self, connection: AsyncConnection) -> bool:
        """Asks the store, if it did not say so lately."""
        now_us = self._clock.monotonic_us()
        if now_us >= self._until_us and (await connection.execute(mark_queries.newest_unmarked(true()))).first() is None:
            self._until_us = now_us + MARKED_US
        return now_us < self._until_us


class Listed(NamedTuple):
    """What a list is of: the query, its page, its span of time, and how far who asks may see beyond what the query says itself."""

    query: ExchangeQuery
    page: Asked
    within: Span
    reach: Reach
    portions: Portions
    marked: AllMarked
    also: Sequence[Condition] = ()

    @property
    def behind(self) -> str | None:
        return self.page.cursor.key if self.page.cursor else None


class InTime(NamedTuple):
    """A page in the order of time, behind the id `behind`. `also`: what must hold beside the filters and the reach."""

    query: queries.InTime
    within: Span
    behind: str | None
    room: Room
    reach: Reach = EVERYTHING
    also: Sequence[Condition] = ()
    portions: Portions = PORTIONS

    @property
    def sought(self) -> Sought:
        """The same for what is found by marks."""
        return Sought(self.query, self.within, together(within_reach(self.reach, exchanges), *self.also), size=self.room.size)


async def _by_time(connection: AsyncConnection, request: Request, of: Listed) -> Response:
    if of.query.after is not None:
        raise BadParametersError([Fault("after", "goes with order=stored only")])
    page = InTime(of.query, of.within, of.behind, Room(of.page.limit, of.portions.page_bytes), of.reach, of.also, of.portions)
    if mark_queries.is_bounded(of.query):
        marked = await find_marked(connection, page.sought, of.behind, of.page.limit)
        items, complete_from = await shown(request, connection, marked.rows, "list"), await _complete_from(connection, of)
        searched_from = await _searched_from(connection, of)
        return answer(items, next=of.page.next(marked.next, of.within), complete_from=complete_from, searched_from=searched_from)
    found = await in_time(connection, page)
    items = await shown(request, connection, found.rows, "list")
    return answer(items, next=of.page.next(found.rows[-1].id if found.more else None, of.within))


async def _complete_from(connection: AsyncConnection, of: Listed) -> str | None:
    """From when on all exchanges that may be seen have marks, if they have none before."""
    if not mark_queries.groups(of.query) or await of.marked.known(connection):
        return None
    newest = (await connection.execute(mark_queries.newest_unmarked(within_reach(of.reach, exchanges)))).scalar_one_or_none()
    return None if newest is None else rfc3339(newest + 1)


async def _searched_from(connection: AsyncConnection, of: Listed) -> str | None:
    """From when on there is an index of texts, where they are asked for."""
    since_us = (await connection.execute(text_queries.SINCE)).scalar_one_or_none() if of.query.text is not None else None
    return None if since_us is None else rfc3339(since_us)


async def in_time(connection: AsyncConnection, of: InTime) -> Page:
    """A page in the order of time: (id, exchange, crc, data)."""
    if mark_queries.is_bounded(of.query):
        return await _marked(connection, of)
    if of.reach.everything and (asked := status_queries.alone(of.query)) is not None:
        there = [row[0] for row in (await connection.execute(status_queries.there())).all()]
        statuses = status_queries.among(asked, there)
        if len(statuses) <= status_queries.MOST:
            return await _merged(connection, of, statuses)
    return await (_found if connection.dialect.name == "sqlite" else _planned)(connection, of)


async def _marked(connection: AsyncConnection, of: InTime) -> Page:
    """Steps until something is found, or there is no more."""
    behind = of.behind
    while True:
        found = await find_marked(connection, of.sought, behind, of.room.rows)
        if found.rows or found.next is None:
            return Page(found.rows, found.next is not None)
        behind = found.next


async def _planned(connection: AsyncConnection, of: InTime) -> Page:
    """The page, as the database plans it by its statistics; of one value by its index, wherever in time its exchanges lie."""
    way = Way.BY_VALUE if of.reach.everything and queries.one_value(of.query) is not None else Way.AS_PLANNED
    statement = queries.page(of.query, of.within, of.behind, of.room.rows + 1, way, reach=of.reach, also=of.also)
    return await read(connection, statement, of.room.rows, of.room.size)


async def _merged(connection: AsyncConnection, of: InTime, statuses: Sequence[int]) -> Page:
    """The page of these statuses, as the database finds each by its index."""
    if not statuses:
        return Page([], more=False)
    asked = status_queries.Asked(of.query, of.within, of.behind, of.room.rows + 1, of.also)
    ids = list((await connection.execute(status_queries.first(asked, statuses, connection.dialect.name))).scalars())
    statement = queries.page(of.query, of.within, None, of.room.rows + 1, also=of.also).where(Among(exchanges.c.id, ids))
    return await read(connection, statement, of.room.rows, of.room.size)


async def _found(connection: AsyncConnection, of: InTime) -> Page:
    """The page out of an SQLite file, which keeps no statistics: so what is asked for is counted, up to a bound, before it is read."""
    way, leading = Way.AS_PLANNED, await _rarest(connection, of)
    if (size := queries.size_of_range(of.query, of.portions.sorted_rows)) is not None:
        way = Way.SORTED if (await connection.execute(size)).scalar_one() < of.portions.sorted_rows else Way.LOOKED_THROUGH
    if way is not Way.SORTED and leading == queries.REACH:
        way = Way.MERGED
    if way is Way.LOOKED_THROUGH:
        wanted = queries.edge_of(of.query, of.within, of.behind, of.portions.looked_at)
        edge = (await connection.execute(wanted)).scalar_one_or_none()
        found = await _read(connection, of, way, edge, leading)
        if found.more or edge is None:
            return found
        way = Way.SORTED  # they lie far from here
    return await _read(connection, of, way, None, leading)


async def _read(connection: AsyncConnection, of: InTime, way: Way, edge: str | None, leading: str | None) -> Page:
    limit = of.room.rows
    statement = queries.page(of.query, of.within, of.behind, limit + 1, way, edge, leading, of.reach, of.also)
    return await read(connection, statement, limit, of.room.size)


async def _rarest(connection: AsyncConnection, of: InTime) -> str | None:
    """Of several values that are asked for, the one that the fewest exchanges have. A reach that is limited is one of them."""
    sizes = queries.sizes_of_values(of.query, of.reach, of.within)
    if sizes is None:
        return None if of.reach.everything or of.query.request_id is not None else queries.REACH
    counted: dict[str, int] = dict((await connection.execute(sizes)).one()._mapping)
    return min(counted, key=counted.__getitem__)


async def _stored(connection: AsyncConnection, request: Request, of: Listed) -> Response:
    """One journal after the other. What the store holds is read first: rows that come meanwhile belong to the next answer.

    Places are told of what may be seen alone: how far a journal has come tells how much others have.
    """
    page, start = of.page, _after(of.page.cursor, of.query)
    few = await _few(connection, of.reach, of.portions.sorted_rows)
    high = await seen(connection, of.reach, few)
    reached = high.copy() if start.now else dict(start.places)
    rows: list[FoundRow] = []
    more = False
    for journal, end in high.items():
        low = reached.get(journal, BEGINNING)
        if low >= end:
            continue
        if more := len(rows) == page.limit:
            break
        room = page.limit - len(rows)
        statement = queries.stored_page(of.query, of.within, journal, low, end, room + 1, of.reach, few)
        some, more = await read(connection, statement, room, of.portions.page_bytes)
        rows += some
        reached[journal] = Place(some[-1].position, some[-1].ordinal) if more else end
        if more:
            break
    place = written(reached)
    items, complete_from = await shown(request, connection, rows, "list"), await _complete_from(connection, of)
    return answer(items, next=page.next(place if more else None, of.within), after=place, complete_from=complete_from)


async def _few(connection: AsyncConnection, reach: Reach, most: int) -> bool:
    """Whether SQLite had better find what is within the reach, and sort it, than look for it in the order of storage."""
    if reach.everything or connection.dialect.name != "sqlite":
        return False
    return int((await connection.execute(queries.size_within(reach, most))).scalar_one()) < most


def _after(cursor: Cursor | None, query: ExchangeQuery) -> After:
    if cursor is None:
        return query.after or After(())
    try:
        return after(cursor.key)
    except ValueError as error:
        raise BadParametersError([Fault("cursor", str(error))]) from None
