"""GET /v1/facets: how often each value occurs among the exchanges that match."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import and_
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Right
from collector.audit import documents
from collector.audit.counted_documents import Facet, Facets
from collector.audit.exchanges import may_ask
from collector.audit.gathering import Gathered, class_of, gather
from collector.audit.looking import reach, saw, within
from collector.audit.marked import Sought
from collector.audit.moments import rfc3339, span
from collector.audit.parameters import FacetQuery, FacetsAsked
from collector.audit.values import FACETS
from collector.clock import Clock
from collector.messages.completeness import names
from collector.messages.marks import of_column
from collector.store.schema import exchanges
from collector.store.sql_types import FoundRow

_PLAIN = ("namespace", "service", "model", "node", "caller", "method")
_column = exchanges.c
_COLUMNS = (_column.id, *(_column[name] for name in _PLAIN), _column.status, _column.completeness, _column.time_us, _column.marks)


def router(engine: AsyncEngine, clock: Clock) -> APIRouter:
    """The route of facets."""
    routes = APIRouter(tags=["exchanges"])

    @routes.get("/v1/facets", responses=documents.FACETS, summary="How often each value occurs among what matches")
    async def get_facets(request: Request, query: FacetsAsked) -> Response:
        """Of at most 10,000 exchanges, the newest that match; `approximate` says that there are more."""
        covered = reach(request, Right.EXCHANGES)
        seen = and_(within(covered, exchanges), *may_ask(request, query))
        sought = Sought(query.filters, span(query.since, query.until, clock.now_us()), seen, _COLUMNS)
        async with engine.connect() as connection:
            gathered = await gather(connection, sought)
        told = await asyncio.to_thread(facets, gathered, query)
        saw(request, "facets", len(gathered.rows))
        return Response(msgspec.json.encode(told), media_type="application/json")

    return routes


def facets(gathered: Gathered, query: FacetQuery) -> Facets:
    """The counts. Of each name the most frequent values."""
    asked = query.fields.split(",") if query.fields else list(FACETS)
    counters = _count(gathered.rows, asked)
    told: Facets = {
        "facets": {name: _facet(counters[name], query.values) for name in asked},
        "counted_rows": len(gathered.rows),
    }
    if gathered.ended_at is not None:
        told["approximate"] = True
        if gathered.rows:
            told["counted_from"] = rfc3339(min(row.time_us or 0 for row in gathered.rows))
    return told


class _Counter:
    """Values, and how many exchanges have none."""

    def __init__(self) -> None:
        self.values = Counter[str]()
        self.absent = 0


def _count(rows: Sequence[FoundRow], asked: Iterable[str]) -> dict[str, _Counter]:
    counters = {name: _Counter() for name in asked}
    for name in (name for name in _PLAIN if name in counters):
        column = [getattr(row, name) for row in rows]
        counters[name].values.update(value for value in column if value is not None)
        counters[name].absent = sum(value is None for value in column)
    if "status" in counters:
        counters["status"].values.update(class_of(row.status) for row in rows)
    if "completeness" in counters:
        for bits, times in Counter(row.completeness or 0 for row in rows).items():
            counters["completeness"].values.update(dict.fromkeys(names(bits), times))
    if any(name not in (*_PLAIN, "status", "completeness") for name in counters):
        _count_marks(rows, counters)
    return counters


def _count_marks(rows: Sequence[FoundRow], counters: dict[str, _Counter]) -> None:
    """Marks are counted as a whole, and told apart by their names afterwards."""
    together = Counter[str]()
    for row in rows:
        together.update(set(of_column(row.marks)))  # one may be there twice: MCP tells a trace that a header tells too
    by_name: dict[str, Counter[str]] = {}
    for one, times in together.items():
        name, _, value = one.partition(":")
        by_name.setdefault(name, Counter())[value] += times
    for name, counter in counters.items():
        if name not in (*_PLAIN, "status", "completeness"):
            counter.values = by_name.get(name, Counter())


def _facet(counter: _Counter, most: int) -> Facet:
    found = sorted(counter.values.items(), key=lambda one: (-one[1], one[0]))
    facet: Facet = {"values": [{"value": value, "count": count} for value, count in found[:most]]}
    if len(found) > most:
        facet["more"] = len(found) - most
    if counter.absent:
        facet["absent"] = counter.absent
    return facet
