"""GET /v1/ledger: what each proxy says it sent against what came, per window or per proxy, and summed over all that matches.

announced = received + dropped + missing, in every window and in every sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.audit import documents
from collector.audit import ledger_queries as queries
from collector.audit.asking import Asked, asked
from collector.audit.cursors import Cursor
from collector.audit.moments import Span, rfc3339
from collector.audit.pages import Page, answer, read
from collector.audit.parameters import LARGEST, LedgerQuery, LedgerWindows
from collector.audit.problems import BadParametersError, Fault
from collector.audit.verdicts import verdict
from collector.clock import Clock
from collector.settings import Audit

Reasons = Counter[str]


def router(engine: AsyncEngine, settings: Audit, clock: Clock) -> APIRouter:
    """The route of the ledger."""
    routes = APIRouter(tags=["ledger"])

    @routes.get("/v1/ledger", responses=documents.LEDGER, summary="What was sent against what came")
    async def get_ledger(request: Request, query: LedgerWindows) -> Response:
        page = asked(request, query, settings)
        within = page.within(query, clock)
        list_items = _proxies if query.group == "proxy" else _windows
        async with engine.connect() as connection:
            items, key = await list_items(connection, query, within, page)
            totals = None if page.cursor else await _totals(connection, query, within)
        return answer([msgspec.json.encode(item) for item in items], totals=totals, next=page.next(key, within))

    return routes


async def _windows(
    connection: AsyncConnection, query: LedgerQuery, within: Span, asked_for: Asked
) -> tuple[list[dict[str, Any]], str | None]:
    cursor = asked_for.cursor
    statement = queries.windows(query, within, _window_key(cursor) if cursor else None, asked_for.limit + 1)
    rows, more = await read(connection, statement, asked_for.limit)
    return [_window(row) for row in rows], f"{rows[-1].time_us}:{rows[-1].id}" if more else None


async def _proxies(
    connection: AsyncConnection, query: LedgerQuery, within: Span, asked_for: Asked
) -> tuple[list[dict[str, Any]], str | None]:
    cursor, limit = asked_for.cursor, asked_for.limit
    statement = queries.proxies(query, within, cursor.key if cursor else None, limit + 1)
    rows = (await connection.execute(statement)).all()
    page = Page(list(rows[:limit]), len(rows) > limit)
    reasons = await _reasons(connection, query, within, [row.node for row in page.rows])
    items = [_proxy(row, reasons.get(row.node, Counter())) for row in page.rows]
    return items, page.rows[-1].node if page.more else None


async def _totals(connection: AsyncConnection, query: LedgerQuery, within: Span) -> dict[str, Any]:
    row = (await connection.execute(queries.totals(query, within))).one()
    reasons: Reasons = Counter()
    for found in (await _reasons(connection, query, within, None)).values():
        reasons.update(found)
    return {"proxies": row.proxies, **_sums(row, reasons)}


async def _reasons(connection: AsyncConnection, query: LedgerQuery, within: Span, nodes: list[str] | None) -> dict[str, Reasons]:
    """Drops by reason of each proxy."""
    reasons: dict[str, Reasons] = {}
    statement = queries.reasons(query, within, nodes)
    async with connection.stream(statement, execution_options={"yield_per": 500}) as rows:
        async for node, data in rows:
            reasons.setdefault(node, Counter()).update(_dropped(msgspec.json.decode(data)))
    return reasons


def _window_key(cursor: Cursor) -> tuple[int, str]:
    time_us, _, event = cursor.key.partition(":")
    if not (time_us.isdecimal() and len(time_us) < 20 and int(time_us) <= LARGEST):
        raise BadParametersError([Fault("cursor", "not a cursor of this query")])
    return int(time_us), event


def _window(row: Row[Any]) -> dict[str, Any]:
    stored = msgspec.json.decode(row.data)
    window = {"start": rfc3339(row.time_us), "seconds": row.window_us / 1_000_000}
    # Counts without a column of their own are in the JSON only.
    more = {name: value for name, value in stored.items() if name not in row._fields}
    return {**more, **_proxy_names(row), "window": window, **_counts(row, _dropped(stored))}


def _proxy(row: Row[Any], reasons: Mapping[str, int]) -> dict[str, Any]:
    return {**_proxy_names(row), **_sums(row, reasons)}


def _sums(row: Row[Any], reasons: Mapping[str, int]) -> dict[str, Any]:
    times = {"first": row.first_us, "last": row.last_us}
    span_of = {name: rfc3339(int(us)) for name, us in times.items() if us is not None}
    return {"windows": int(row.windows), **span_of, **_counts(row, reasons)}


def _proxy_names(row: Row[Any]) -> dict[str, Any]:
    names = {"node": row.node, "namespace": row.namespace, "workload": row.workload}
    return {name: value for name, value in names.items() if value is not None}


def _counts(row: Row[Any], reasons: Mapping[str, int]) -> dict[str, Any]:
    """Postgres sums to decimals, and no rows to none."""
    counts = {name: int(getattr(row, name) or 0) for name in queries.COUNTS}
    said: dict[str, Any] = {**counts, "dropped": {**reasons, "total": counts["dropped"]}}
    return {**said, "lost": counts["announced"] - counts["received"], "verdict": verdict(counts, reasons)}


def _dropped(stored: Mapping[str, Any]) -> dict[str, int]:
    found = stored.get("dropped")
    return {k: v for k, v in found.items() if isinstance(v, int) and k != "total"} if isinstance(found, dict) else {}
