"""GET /v1/ledger: what each proxy says it sent against what came, per window or per proxy, and summed over all that matches.

announced = received + dropped + missing, in every window and in every sum. What is lost is summed over windows and proxies, and nothing
that another window or proxy has too much of is set against it.
"""

from __future__ import annotations

import re
from collections import Counter

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Right
from collector.audit import documents, ledger_cures
from collector.audit import ledger_items as items
from collector.audit import ledger_queries as queries
from collector.audit.asking import Asked, asked
from collector.audit.cursors import Cursor
from collector.audit.ledger_items import Absences, Reasons, read_window
from collector.audit.ledger_queries import Proxy, Sought
from collector.audit.looking import reach, saw
from collector.audit.moments import Span
from collector.audit.pages import Page, Portions, answer, read
from collector.audit.parameters import LedgerWindows
from collector.audit.problems import BadParametersError, Fault
from collector.audit.values import LARGEST
from collector.clock import Clock
from collector.messages.ledger import BY_REASON, MISSING
from collector.settings import Audit
from collector.store.engine import snapshot
from collector.store.sql_types import FoundRow

AWAY_READ = 10_000  # the newest absences, for the items of a page
_PROXY_KEY = re.compile(r"([0-9]{1,7}):(.*)", re.DOTALL | re.ASCII)


def router(engine: AsyncEngine, settings: Audit, clock: Clock, portions: Portions) -> APIRouter:
    """The route of the ledger."""
    routes = APIRouter(tags=["ledger"])

    @routes.get("/v1/ledger", responses=documents.LEDGER, summary="What was sent against what came")
    async def get_ledger(request: Request, query: LedgerWindows) -> Response:
        covered = reach(request, Right.LEDGER)
        page = asked(request, query, settings, covered)
        sought = Sought(query.node, query.namespace, covered, portions)
        within = page.within(query, clock)
        list_items = _proxies if query.group == "proxy" else _windows
        async with snapshot(engine) as connection:
            away = await _away(connection, within)
            found, key = await list_items(connection, sought, within, page, away)
            totals = None if page.cursor else await _totals(connection, sought, within, away, clock.now_us())
        saw(request, "ledger", len(found))
        return answer([msgspec.json.encode(item) for item in found], totals=totals, next=page.next(key, within))

    return routes


async def _windows(
    connection: AsyncConnection, query: Sought, within: Span, asked_for: Asked, away: Absences
) -> tuple[list[dict[str, object]], str | None]:
    cursor = asked_for.cursor
    statement = queries.windows(query, within, _window_key(cursor) if cursor else None, asked_for.limit + 1)
    rows, more = await read(connection, statement, asked_for.limit)
    cured: dict[str, Counter[str]] = {}
    if rows:
        page = Span(rows[-1].time_us or 0, (rows[0].time_us or 0) + 1)
        cured = await ledger_cures.by_window(connection, query, page, list({(row.node, row.sender) for row in rows}))
    return [items.window(row, cured.get(row.id, {}), away) for row in rows], f"{rows[-1].time_us or 0}:{rows[-1].id}" if more else None


async def _proxies(
    connection: AsyncConnection, query: Sought, within: Span, asked_for: Asked, away: Absences
) -> tuple[list[dict[str, object]], str | None]:
    cursor, limit = asked_for.cursor, asked_for.limit
    statement = queries.proxies(query, within, _proxy_key(cursor) if cursor else None, limit + 1)
    rows = (await connection.execute(statement)).all()
    page = Page(list(rows[:limit]), len(rows) > limit)
    names: list[Proxy] = [(row.node or "", row.sender or "") for row in page.rows]
    reasons = await _reasons(connection, query, within, names)
    cured = await ledger_cures.by_proxy(connection, query, within, names)
    found = [items.proxy(row, reasons.get(name, Reasons()), cured.get(name, {}), away) for row, name in zip(page.rows, names, strict=True)]
    return found, f"{len(names[-1][0])}:{names[-1][0]}{names[-1][1]}" if page.more else None


async def _totals(connection: AsyncConnection, query: Sought, within: Span, away: Absences, now_us: int) -> dict[str, object]:
    row: FoundRow = (await connection.execute(queries.totals(query, within))).one()
    reasons = Reasons()
    for found in (await _reasons(connection, query, within, None)).values():
        reasons.add(found)
    cured = await ledger_cures.by_proxy(connection, query, within, None)
    losers = await _losers(connection, query, within, cured)
    ends = [end for end in (await connection.execute(queries.ends(query, within))).scalars() if end is not None]
    asked_to = min(within.until_us or now_us, now_us)
    log_only = int((await connection.execute(queries.log_only(query, within))).scalar_one())
    return items.totals(row, reasons, list(cured.values()), away, losers, min(ends, default=None), asked_to, log_only)


async def _losers(connection: AsyncConnection, query: Sought, within: Span, cured: dict[Proxy, Counter[str]]) -> list[tuple[str, int]]:
    """Proxies that lost something for good, and how much."""
    found = []
    async with connection.stream(queries.losers(query, within), execution_options={"yield_per": 500}) as rows:
        async for row in rows:
            back = cured.get((row.node, row.sender), Counter()).get("missing", 0)
            lost = max(0, queries.whole(row, MISSING) - back) + sum(queries.whole(row, name) for name in BY_REASON)
            if lost:
                found.append((row.node or "no name", lost))
    return found


async def _reasons(connection: AsyncConnection, query: Sought, within: Span, of: list[Proxy] | None) -> dict[Proxy, Reasons]:
    """Losses by reason of each proxy."""
    reasons: dict[Proxy, Reasons] = {}
    statement = queries.reasons(query, within, of)
    async with connection.stream(statement, execution_options={"yield_per": 500}) as rows:
        async for row in rows:
            reasons.setdefault((row.node or "", row.sender or ""), Reasons()).take(row, read_window(row.data))
    return reasons


async def _away(connection: AsyncConnection, within: Span) -> Absences:
    count = int((await connection.execute(queries.times_away(within))).scalar_one())
    rows = (await connection.execute(queries.away(within, AWAY_READ))).all() if count else []
    told = [items.absence(row) for row in rows[: items.AWAY_TOLD]]
    return Absences(count, [items.span_away(row) for row in rows], told)


def _window_key(cursor: Cursor) -> tuple[int, str]:
    time_us, _, event = cursor.key.partition(":")
    if not (time_us.isdecimal() and len(time_us) < 20 and int(time_us) <= LARGEST):
        raise BadParametersError([Fault("cursor", "not a cursor of this query")])
    return int(time_us), event


def _proxy_key(cursor: Cursor) -> Proxy:
    found = _PROXY_KEY.fullmatch(cursor.key)
    if found is None:
        raise BadParametersError([Fault("cursor", "not a cursor of this query")])
    return found[2][: int(found[1])], found[2][int(found[1]) :]
