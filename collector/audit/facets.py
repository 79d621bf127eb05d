"""GET /v1/facets: how often each value occurs among the exchanges that match."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import chain
from typing import NamedTuple, cast

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Right
from collector.audit import documents
from collector.audit.counted_documents import Facet, Facets
from collector.audit.exchanges import may_ask
from collector.audit.gathering import Gathered, class_of, gather
from collector.audit.looking import reach, saw, together, within
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
        seen = together(within(covered, exchanges), *may_ask(request, query))
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
    counted = _count(gathered.rows, asked)
    told: Facets = {
        "facets": {name: _facet(counted[name], query.values) for name in asked},
        "counted_rows": len(gathered.rows),
    }
    if gathered.ended_at is not None:
        told["approximate"] = True
        if gathered.rows:
            told["counted_from"] = rfc3339(min(row.time_us or 0 for row in gathered.rows))
    return told


class _Counted(NamedTuple):
    """Of one name: how many exchanges have each value, and how many have none."""

    values: Mapping[str, int]
    absent: int = 0


def _count(rows: Sequence[FoundRow], asked: Sequence[str]) -> dict[str, _Counted]:
    """Column by column, each in one go: ten thousand rows are counted in a few hundredths of a second."""
    columns = zip(*rows, strict=True) if rows else (() for _ in _COLUMNS)
    found = {column.name: values for column, values in zip(_COLUMNS, columns, strict=True)}
    counted = {name: _present(found[name]) for name in asked if name in _PLAIN}
    if "status" in asked:
        counted["status"] = _Counted(_added((class_of(one), times) for one, times in Counter(found["status"]).items()))
    if "completeness" in asked:
        flags = Counter(found["completeness"]).items()
        counted["completeness"] = _Counted(_added((name, times) for bits, times in flags for name in names(bits or 0)))
    of_marks = {name: dict[str, int]() for name in asked if name not in counted}
    if of_marks:
        _count_marks(found["marks"], of_marks)
    return counted | {name: _Counted(values) for name, values in of_marks.items()}


def _present(column: Iterable[str | None]) -> _Counted:
    values = Counter(column)
    absent = values.pop(None, 0)
    return _Counted(cast(Counter[str], values), absent)


def _added(found: Iterable[tuple[str, int]]) -> Counter[str]:
    values = Counter[str]()
    for value, times in found:
        values[value] += times
    return values


def _count_marks(column: Iterable[str | None], counted: Mapping[str, dict[str, int]]) -> None:
    """Marks are counted as a whole, and told apart by their names afterwards."""
    each = map(set, map(of_column, column))  # one may be there twice: MCP tells a trace that a header tells too
    together = Counter(chain.from_iterable(each))
    for one, times in together.items():
        name, _, value = one.partition(":")
        if name in counted:
            counted[name][value] = times


def _facet(counted: _Counted, most: int) -> Facet:
    values, absent = counted
    found = nsmallest(most, values.items(), key=lambda one: (-one[1], one[0]))
    facet: Facet = {"values": [{"value": value, "count": count} for value, count in found]}
    if len(values) > most:
        facet["more"] = len(values) - most
    if absent:
        facet["absent"] = absent
    return facet
