"""GET /v1/usage: what was used, by whatever it is asked by, and how much of it is not known. A sum never stands without its coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import ColumnElement, and_, or_, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Reach, Right
from collector.audit import documents, ledger_cures
from collector.audit import ledger_queries as ledgers
from collector.audit import usage_queries as queries
from collector.audit.export_forms import csv_of, end_of
from collector.audit.ledger_queries import Proxy, Sought
from collector.audit.looking import reach, saw, within
from collector.audit.moments import Span, rfc3339, span
from collector.audit.pages import answer
from collector.audit.parameters import UsageQuery, Usages
from collector.audit.usage_documents import UsageCoverage, UsageGroup, UsageLosses, UsageNumbers
from collector.audit.usage_queries import Hours
from collector.audit.values import Grouping
from collector.clock import Clock
from collector.messages.ledger import BY_REASON, MISSING
from collector.messages.ledger_data import LARGEST
from collector.messages.usage_counts import ABSENT, CALLS, LATE, REASONS, SUMS, TOKENS
from collector.store.engine import snapshot
from collector.store.schema import ledger, usage_keys
from collector.store.sql_types import FoundRow
from collector.store.usage_book import ALL, AS_TOLD
from collector.store.usage_counting import counted_back_to
from collector.store.usage_deltas import HOUR_US, HOURS
from collector.store.usage_recount import state

DEFAULT_LIMIT = 1000
UNTOLD: tuple[Literal["unclassed", "units", "estimated", "revised", "late"], ...] = ("unclassed", "units", "estimated", "revised", "late")


def router(engine: AsyncEngine, clock: Clock) -> APIRouter:
    """The route of usage."""
    routes = APIRouter(tags=["usage"])

    @routes.get("/v1/usage", responses=documents.USAGE, summary="What was used")
    async def get_usage(request: Request, query: Usages) -> Response:
        found = reach(request, Right.USAGE)
        asked = queries.hours(span(query.since, query.until, clock.now_us()))
        async with snapshot(engine) as connection:
            items, told = await _told(connection, query, asked, found)
        saw(request, "usage", len(items))
        if query.format == "csv":
            return Response(csv_of(items, names_of(query.group_by)) + end_of(told), media_type="text/csv")
        return answer([msgspec.json.encode(item) for item in items], **told)

    return routes


async def _told(connection: AsyncConnection, query: UsageQuery, asked: Hours, found: Reach) -> tuple[list[UsageGroup], dict[str, object]]:
    """The groups, and what is said beside them."""
    dialect, covered, limit = connection.dialect.name, _own(found), query.limit or DEFAULT_LIMIT
    kept = (await connection.execute(queries.extent())).one()
    bounds = Hours(max(asked.first, (kept.first or 0) * HOURS), min(asked.behind, ((kept.last or 0) + 1) * HOURS), kept.last)
    few_keys = dialect == "sqlite" and (await connection.execute(queries.number_of_keys())).scalar_one() <= queries.FEW_KEYS
    items: list[UsageGroup] = []
    left_out = 0
    total = dict.fromkeys(SUMS, 0)
    if kept.first is not None and bounds.first < bounds.behind:
        rows = (await connection.execute(queries.groups(query, bounds, covered, dialect, limit + 1, few_keys=few_keys))).all()
        total = _added(rows)
        if len(rows) > limit:
            left_out = (await connection.execute(queries.size(query, bounds, covered, dialect, few_keys=few_keys))).scalar_one() - limit
            whole = query.model_copy(update={"group_by": Grouping()})
            total = _added((await connection.execute(queries.groups(whole, bounds, covered, dialect, 1, few_keys=few_keys))).all())
        items = [_item(query, row) for row in rows[:limit]] if total[CALLS] or total[LATE] else []
    uncounted = (await state(connection)).uncounted
    older = uncounted is not None and (counted := _millisecond(uncounted)) is not None and asked.first * HOUR_US < counted * 1000
    return items, {
        "totals": _numbers(total),
        "since": rfc3339(asked.first * HOUR_US),
        "until": rfc3339(min(asked.behind, queries.LAST_HOUR) * HOUR_US),
        "left_out": left_out or None,
        "uncounted_before": counted_back_to(uncounted) if older and uncounted is not None else None,
        "losses": await _losses(connection, query, asked, found),
    }


def _own(found: Reach) -> ColumnElement[bool]:
    """The keys that the reach covers. In a folded one `other` stands for anybody's names: it is nobody's namespace, nor his consumer."""
    if found.everything:
        return true()
    key = usage_keys.c
    namespaces = and_(key.folded < ALL, key.namespace.in_(sorted(found.namespaces)))
    return or_(namespaces, and_(key.folded == AS_TOLD, key.consumer.in_(sorted(found.consumers))))


def _millisecond(event: str) -> int:
    """Of an event id; of what stands behind all of them, the end of time."""
    digits = event[:8] + event[9:13]
    return int(digits, 16) if len(digits) == 12 else 1 << 48


def names_of(grouping: Grouping) -> list[str]:
    """What groups are named by, in the order of the answer."""
    unit = [grouping.unit] if grouping.unit else []
    return [*grouping.dimensions, *(f"annotation:{one}" for one in grouping.annotations), *unit]


def _item(query: UsageQuery, row: FoundRow) -> UsageGroup:
    grouping, named = query.group_by, row._mapping
    group = {name: named[name] for name in (*grouping.dimensions, *(f"annotation:{one}" for one in grouping.annotations))}
    group = {name: value for name, value in group.items() if value is not None}
    if grouping.unit:
        group[grouping.unit] = queries.at(grouping.unit, row.at)
    told: UsageGroup = {"group": group}
    if row.folded and (grouping.dimensions or grouping.annotations):
        told["folded"] = True
    numbers = _numbers(_sums(row))
    told["calls"], told["tokens"], told["coverage"] = numbers["calls"], numbers["tokens"], numbers["coverage"]
    return told


def _added(rows: Sequence[FoundRow]) -> dict[str, int]:
    return {name: sum(int(getattr(row, name) or 0) for row in rows) for name in SUMS}


def _sums(row: FoundRow) -> dict[str, int]:
    return {name: int(getattr(row, name) or 0) for name in SUMS}


def _numbers(sums: dict[str, int]) -> UsageNumbers:
    """Calls, tokens by class, and what the tokens do not tell."""
    without = {reason: sums[name] for reason, name in zip(REASONS, ABSENT, strict=True) if sums[name]}
    untold = sum(without.values())
    coverage: UsageCoverage = {
        "without_usage": untold,
        "share_without_usage": round(untold / sums[CALLS], 6) if sums[CALLS] else 0.0,
    }
    if without:
        coverage["reasons"] = without
    for name in UNTOLD:
        if sums[name]:
            coverage[name] = sums[name]
    return {"calls": sums[CALLS], "tokens": {name: sums[name] for name in TOKENS if sums[name]}, "coverage": coverage}


async def _losses(connection: AsyncConnection, query: UsageQuery, asked: Hours, found: Reach) -> UsageLosses | None:
    """What the ledger says was lost in these hours. None: of who looks the ledger says nothing, as of a consumer."""
    if not found.everything and not found.namespaces:
        return None
    rows = (await connection.execute(queries.losses(asked, within(found, ledger), query.namespace))).all()
    at = Span(asked.first * HOUR_US, min(asked.behind, queries.LAST_HOUR) * HOUR_US)
    proxies: list[Proxy] = [(row.node, row.sender) for row in rows]
    cured = await ledger_cures.by_proxy(connection, Sought(None, query.namespace, found), at, proxies) if rows else {}
    lost = 0
    for proxy, row in zip(proxies, rows, strict=True):
        back = cured[proxy][MISSING] if proxy in cured else 0
        lost += max(0, ledgers.whole(row, MISSING) - back) + sum(ledgers.whole(row, name) for name in BY_REASON)
    away = int((await connection.execute(ledgers.times_away(at))).scalar_one())
    return {"lost": min(lost, LARGEST), "times_away": away}
