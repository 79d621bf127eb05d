"""GET /v1/ledger/map: the ledger by proxy and stretch of time, each cell with its own verdict: where and when something was lost.

Proxies that lost most come first. A stretch without windows of a proxy is absent: nothing was reported, so nothing is known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Right
from collector.audit import documents, ledger_cures
from collector.audit import ledger_items as items
from collector.audit import ledger_queries as queries
from collector.audit.ledger_queries import Proxy, Sought
from collector.audit.looking import reach, saw
from collector.audit.moments import Span, rfc3339, span
from collector.audit.pages import Portions
from collector.audit.parameters import LedgerMap, LedgerMapQuery
from collector.audit.verdicts import Facts, Verdict, judge
from collector.clock import Clock
from collector.messages.ledger import ANNOUNCED, RECEIVED
from collector.store.engine import snapshot
from collector.store.sql_types import FoundRow

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Stretches of equal length, in microseconds since the epoch."""

    start_us: int
    step_us: int
    count: int

    def of(self, time_us: int) -> int:
        return min(max((time_us - self.start_us) // self.step_us, 0), self.count - 1)

    def edge(self, number: int) -> int:
        return self.start_us + number * self.step_us


@dataclass(slots=True)
class Line:
    """A proxy: its names, and its stretches of time that have windows."""

    namespace: str | None = None
    workload: str | None = None
    cells: dict[int, dict[str, int]] = field(default_factory=dict)
    cured: dict[int, Counter[str]] = field(default_factory=dict)


def router(engine: AsyncEngine, clock: Clock, portions: Portions) -> APIRouter:
    """The route of the map."""
    routes = APIRouter(tags=["ledger"])

    @routes.get("/v1/ledger/map", responses=documents.LEDGER_MAP, summary="Where and when something was lost")
    async def get_map(request: Request, query: LedgerMap) -> Response:
        """The last 24 hours where no span is given. `start` of a cell is its number of steps behind `since`."""
        sought = Sought(query.node, query.namespace, reach(request, Right.LEDGER), portions)
        grid = _grid(query, clock.now_us())
        within = Span(grid.start_us, grid.edge(grid.count))
        async with snapshot(engine) as connection:
            lines, whole = await _lines(connection, sought, within, grid)
            away = [items.absence(row) for row in await connection.execute(queries.away(within, items.AWAY_TOLD))]
        told = [_told(proxy, line) for proxy, line in lines.items()]
        told.sort(key=itemgetter(0))
        document = {
            "since": rfc3339(within.since_us or 0),
            "until": rfc3339(within.until_us or 0),
            "step_seconds": grid.step_us / 1_000_000,
            "steps": grid.count,
            "proxies": len(told),
            "items": [one for _, one in told[: query.limit]],
            "away": away,
            **({} if whole else {"truncated": True}),
        }
        saw(request, "ledger map", len(told))
        return Response(msgspec.json.encode(document), media_type="application/json")

    return routes


def _grid(query: LedgerMapQuery, now_us: int) -> Grid:
    asked = span(query.since, query.until, now_us)
    until = asked.until_us or now_us  # what was asked for, also if some of it is still to come: the steps are then as wide as asked
    start = asked.since_us if asked.since_us is not None else until - DAY_US
    return Grid(start, max(1, -(-max(until - start, 1) // query.steps)), query.steps)


async def _lines(connection: AsyncConnection, query: Sought, within: Span, grid: Grid) -> tuple[dict[Proxy, Line], bool]:
    """The proxies' lines, and whether these are all."""
    lines: dict[Proxy, Line] = {}
    whole = True
    statement = queries.cells(query, within, grid.start_us, grid.step_us)
    async with connection.stream(statement, execution_options={"yield_per": 500}) as rows:
        async for row in rows:
            proxy = (row.node or "", row.sender or "")
            if proxy not in lines and len(lines) == query.portions.map_proxies:
                whole = False
                break
            _add(lines.setdefault(proxy, Line()), row, grid)
    async for cured in ledger_cures.each(connection, query, within, None):
        if line := lines.get(cured.proxy):
            line.cured.setdefault(grid.of(cured.time_us), Counter()).update(cured.counts)
    return lines, whole


def _add(line: Line, row: FoundRow, grid: Grid) -> None:
    line.namespace, line.workload = row.namespace or line.namespace, row.workload or line.workload
    cell = line.cells.setdefault(grid.of(grid.edge(int(row.step))), {})
    for name in queries.SUMMED:
        cell[name] = cell.get(name, 0) + queries.whole(row, name)


def _told(proxy: Proxy, line: Line) -> tuple[tuple[int, int, str], dict[str, object]]:
    """What it is sorted by, who lost most first, and what is told of it."""
    cells = {number: judge(Facts(counts, {}, line.cured.get(number, Counter()))) for number, counts in sorted(line.cells.items())}
    names = {"node": proxy[0], "sender": proxy[1] or None, "namespace": line.namespace, "workload": line.workload}
    lost, gaps = sum(verdict.lost for verdict in cells.values()), sum(verdict.gaps for verdict in cells.values())
    return (-lost, -gaps, proxy[0]), {
        **{name: value for name, value in names.items() if value is not None},
        "lost": lost,
        "gaps": gaps,
        "cells": [_cell(number, verdict, line.cells[number]) for number, verdict in cells.items()],
    }


def _cell(number: int, verdict: Verdict, counts: dict[str, int]) -> dict[str, object]:
    told: dict[str, object] = {"start": number, "state": verdict.state, ANNOUNCED: counts[ANNOUNCED], RECEIVED: counts[RECEIVED]}
    return {**told, **{name: value for name, value in (("lost", verdict.lost), ("gaps", verdict.gaps)) if value}}
