"""GET /v1/histogram: how many exchanges match, over time, by class of status.

Where filters have an index each span is counted by itself, up to a budget; then what was counted of it, and how much of its time that was,
say how many there may be: told as an estimate beside the count. Of other filters the newest that match are counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Right
from collector.audit import documents, mark_queries
from collector.audit import exchange_queries as queries
from collector.audit.counted_documents import Histogram, Spell
from collector.audit.exchanges import may_ask
from collector.audit.gathering import class_of, gather
from collector.audit.looking import reach, saw, within
from collector.audit.marked import Sought
from collector.audit.moments import Span, rfc3339
from collector.audit.parameters import HistogramAsked, HistogramQuery
from collector.audit.problems import BadParametersError, Fault
from collector.clock import Clock
from collector.store.schema import exchanges

ROWS = 200_000  # of all spans together
DAY_US = 86_400_000_000
_column = exchanges.c
_COLUMNS = (_column.id, _column.time_us, _column.status)


def router(engine: AsyncEngine, clock: Clock) -> APIRouter:
    """The route of the histogram."""
    routes = APIRouter(tags=["exchanges"])

    @routes.get("/v1/histogram", responses=documents.HISTOGRAM, summary="How many match, over time")
    async def get_histogram(request: Request, query: HistogramAsked) -> Response:
        """From `since` (by default a day before `until`) to `until` (by default now), in equal spans, by class of status."""
        seen = within(reach(request, Right.EXCHANGES), exchanges)
        seen = and_(seen, *may_ask(request, query))
        whole = _span(query, clock.now_us())
        async with engine.connect() as connection:
            count = _newest if mark_queries.is_bounded(query.filters) else _each
            told = await count(connection, query, whole, seen)
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


async def _each(connection: AsyncConnection, query: HistogramQuery, whole: tuple[int, int], seen: ColumnElement[bool]) -> Histogram:
    bounds = edges(whole, query.buckets)
    most = max(1, ROWS // (len(bounds) - 1))
    spells: list[Spell] = []
    total = 0
    for start, end in pairwise(bounds):
        rows = (await connection.execute(_counted(query, Span(start, end), seen, most))).all()
        counts = {row.status_class: row.number for row in rows}
        counted = sum(counts.values())
        spell = _spell(start, end, counts)
        if counted == most:
            reached = max(row.last for row in rows)
            spell["estimate"] = max(counted, counted * (end - start) // (reached - start)) if reached > start else counted
        spells.append(spell)
        total += counted
    return _told(spells, total, any("estimate" in spell for spell in spells))


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


def _counted(query: HistogramQuery, span: Span, seen: ColumnElement[bool], most: int) -> Select[Any]:
    """By class of status: how many, and the last one's time, of the first so many of a span."""
    first = (
        select(_column.time_us, _column.status)
        .where(*queries.conditions(query.filters, span), seen)
        .order_by(_column.id)
        .limit(most)
        .subquery()
    )
    classes = ((first.c.status.between(n * 100, n * 100 + 99), f"{n}xx") for n in range(1, 10))
    kind = case((first.c.status.is_(None), "none"), *classes, else_="other")
    of = kind.label("status_class")
    return select(of, func.count().label("number"), func.max(first.c.time_us).label("last")).group_by(of)


def _spell(start: int, end: int, counts: dict[str, int]) -> Spell:
    return {"start": rfc3339(start), "end": rfc3339(end), "counts": dict(sorted(counts.items()))}


def _told(spells: list[Spell], rows: int, approximate: bool) -> Histogram:
    told: Histogram = {"items": spells, "counted_rows": rows}
    if approximate:
        told["approximate"] = True
    return told
