"""GET /v1/histogram: how many exchanges match, over time, by class of status.

Where filters have an index each span is counted by itself, up to a budget; then what was counted of it, and how much of its time that was,
say how many there may be: told as an estimate beside the count. Of other filters, and where few can match, the newest that match are
counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Label, Text, bindparam, case, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Right
from collector.audit import documents, mark_queries
from collector.audit import exchange_queries as queries
from collector.audit.counted_documents import Histogram, Spell
from collector.audit.exchanges import may_ask
from collector.audit.gathering import ROWS, class_of, gather, in_range
from collector.audit.looking import reach, saw, together, within
from collector.audit.marked import Sought
from collector.audit.moments import Span, first_id, past_id, rfc3339
from collector.audit.pages import Portions
from collector.audit.parameters import HistogramAsked, HistogramQuery
from collector.audit.problems import BadParametersError, Fault
from collector.clock import Clock
from collector.store.schema import exchanges
from collector.store.sql_types import FoundRow, Statement

DAY_US = 86_400_000_000
Bound = ColumnElement[int] | ColumnElement[str]  # of a span: a time or an id
_column = exchanges.c
_COLUMNS = (_column.id, _column.time_us, _column.status)


def router(engine: AsyncEngine, clock: Clock, portions: Portions) -> APIRouter:
    """The route of the histogram."""
    routes = APIRouter(tags=["exchanges"])

    @routes.get("/v1/histogram", responses=documents.HISTOGRAM, summary="How many match, over time")
    async def get_histogram(request: Request, query: HistogramAsked) -> Response:
        """From `since` (by default a day before `until`) to `until` (by default now), in equal spans, by class of status."""
        seen = within(reach(request, Right.EXCHANGES), exchanges)
        seen = together(seen, *may_ask(request, query))
        whole = _span(query, clock.now_us())
        async with engine.connect() as connection:
            few = await in_range(connection, query.filters)
            if mark_queries.is_bounded(query.filters) or (few is not None and few <= ROWS):
                told = await _newest(connection, query, whole, seen)
            else:
                told = await _each(connection, query, whole, seen, portions.histogram_rows)
        saw(request, "histogram", told["counted_rows"])
        return Response(msgspec.json.encode(told), media_type="application/json")

    return routes


def edges(whole: tuple[int, int], number: int) -> list[int]:
    """The bounds of so many spans, fewer where they would be shorter than a microsecond."""
    start, end = whole
    number = max(1, min(number, end - start))
    return [start + (end - start) * n // number for n in range(number + 1)]


def _span(query: HistogramQuery, now_us: int) -> tuple[int, int]:
    end = query.until.at(now_us) if query.until else now_us
    start = query.since.at(now_us) if query.since else max(0, end - DAY_US)
    if start >= end:
        raise BadParametersError([Fault("since", "must lie before `until`")])
    return start, end


async def _each(
    connection: AsyncConnection, query: HistogramQuery, whole: tuple[int, int], seen: ColumnElement[bool], rows_of_all: int
) -> Histogram:
    spans = list(pairwise(edges(whole, query.buckets)))
    most = max(1, rows_of_all // len(spans))
    found = await _classes(connection, query, spans, seen, most)
    spells: list[Spell] = []
    total = 0
    for number, (start, end) in enumerate(spans):
        rows = found.get(number, [])
        counted = sum(row.number for row in rows)
        spell = _spell(start, end, {row.status_class: row.number for row in rows})
        if counted == most:
            reached = max(row.last for row in rows)
            spell["estimate"] = max(counted, counted * (end - start) // (reached - start)) if reached > start else counted
        spells.append(spell)
        total += counted
    return _told(spells, total, any("estimate" in spell for spell in spells))


async def _classes(
    connection: AsyncConnection, query: HistogramQuery, spans: list[tuple[int, int]], seen: ColumnElement[bool], most: int
) -> dict[int, list[FoundRow]]:
    """By the number of the span its classes of status, each with its count and the last one's time.

    A server counts all spans in one statement. SQLite knows no LATERAL, and a statement costs it little.
    """
    if connection.dialect.name == "postgresql":
        found: dict[int, list[FoundRow]] = defaultdict(list)
        for row in await connection.execute(_counted_together(query, spans, seen, most)):
            found[row.span].append(row)
        return found
    statement = _counted(query, seen, most)
    asked = (dict(zip(_BOUNDS, _bounds(*each), strict=True)) for each in spans)
    return {number: list((await connection.execute(statement, one)).all()) for number, one in enumerate(asked)}


async def _newest(connection: AsyncConnection, query: HistogramQuery, whole: tuple[int, int], seen: ColumnElement[bool]) -> Histogram:
    gathered = await gather(connection, Sought(query.filters, Span(*whole), seen, _COLUMNS))
    bounds = edges(whole, query.buckets)
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for row in gathered.rows:
        found[bisect_right(bounds, row.time_us) - 1][class_of(row.status)] += 1
    spells = [_spell(start, end, found[n]) for n, (start, end) in enumerate(pairwise(bounds))]
    told = _told(spells, len(gathered.rows), gathered.ended_at is not None)
    if gathered.ended_at is not None and gathered.rows:
        told["counted_from"] = rfc3339(min(row.time_us or 0 for row in gathered.rows))
    return told


_BOUNDS = ("first", "past", "since", "until")  # of a span: ids, then times


def _bounds(start: int, end: int) -> tuple[str, str, int, int]:
    return first_id(start), past_id(end), start, end


def _inside(of: Mapping[str, Bound]) -> tuple[ColumnElement[bool], ...]:
    """That an exchange lies in the span with these bounds."""
    return (_column.id >= of["first"], _column.id < of["past"], _column.time_us >= of["since"], _column.time_us < of["until"])


def _first(query: HistogramQuery, of: Mapping[str, Bound], seen: ColumnElement[bool], most: int) -> Statement:
    """The first so many of a span."""
    wanted = (*_inside(of), *queries.conditions(query.filters, Span()), seen)
    return select(_column.time_us, _column.status).where(*wanted).order_by(_column.id).limit(most)


def _counted(query: HistogramQuery, seen: ColumnElement[bool], most: int) -> Statement:
    """By class of status: how many, and the last one's time, of the first so many of the span that is bound to it."""
    first = _first(query, {name: bindparam(name) for name in _BOUNDS}, seen, most).subquery()
    of = _class_of(first.c.status)
    return select(*_counts(of, first.c.time_us)).group_by(of)


def _counted_together(query: HistogramQuery, spans: list[tuple[int, int]], seen: ColumnElement[bool], most: int) -> Statement:
    """The same of each span, with its number."""
    lists = (range(len(spans)), *zip(*(_bounds(*each) for each in spans), strict=True))
    kinds: tuple[BigInteger | Text, ...] = (BigInteger(), Text(), Text(), BigInteger(), BigInteger())
    columns = [
        func.unnest(literal(list(values), ARRAY(kind)), type_=kind).label(name)
        for name, kind, values in zip(("span", *_BOUNDS), kinds, lists, strict=True)
    ]
    each = select(*columns).cte("spans").prefix_with("MATERIALIZED")
    bounds: dict[str, Bound] = {name: each.c[name] for name in ("since", "until")}
    bounds |= {name: each.c[name].collate("C") for name in ("first", "past")}  # as ids are compared, whatever the database's own order is
    first = _first(query, bounds, seen, most).lateral("found")
    of = _class_of(first.c.status)
    return select(each.c.span, *_counts(of, first.c.time_us)).select_from(each.join(first, true())).group_by(each.c.span, of)


def _counts(of: ColumnElement[str], time_us: ColumnElement[int]) -> list[Label[str] | Label[int]]:
    return [of.label("status_class"), func.count().label("number"), func.max(time_us).label("last")]


def _class_of(status: ColumnElement[int | None]) -> ColumnElement[str]:
    classes = ((status.between(n * 100, n * 100 + 99), f"{n}xx") for n in range(1, 10))
    return case((status.is_(None), "none"), *classes, else_="other")


def _spell(start: int, end: int, counts: dict[str, int]) -> Spell:
    return {"start": rfc3339(start), "end": rfc3339(end), "counts": dict(sorted(counts.items()))}


def _told(spells: list[Spell], rows: int, approximate: bool) -> Histogram:
    told: Histogram = {"items": spells, "counted_rows": rows}
    if approximate:
        told["approximate"] = True
    return told
