"""GET /v1/access: who has looked at the log, and GET /v1/exchanges/{id}/access: who has seen this exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look import Look, LookData, document, of_row, seen_by
from collector.access.looker import EVERYTHING, Right
from collector.audit import documents
from collector.audit.asking import asked
from collector.audit.exchange_queries import NAMED
from collector.audit.looking import ForbiddenError, reach, saw
from collector.audit.moments import Span, first_id, past_id
from collector.audit.pages import answer
from collector.audit.parameters import AccessQuery, Looked, Seen
from collector.audit.records import find
from collector.clock import Clock
from collector.settings import Audit
from collector.store.schema import looks, looks_at
from collector.store.sql_types import FoundRow, Statement


def router(engine: AsyncEngine, settings: Audit, clock: Clock) -> APIRouter:
    """The routes of looks."""
    routes = APIRouter(tags=["access"])

    @routes.get("/v1/access", responses=documents.LOOKS, summary="Who has looked at the log")
    async def list_looks(request: Request, query: Looked) -> Response:
        """Every request for what is stored, answered or refused, newest first. Needs the right over everything: queries name others'."""
        if not reach(request, Right.ACCESS).everything:
            raise ForbiddenError(Right.ACCESS)
        page = asked(request, query, settings, EVERYTHING)
        within = page.within(query, clock)
        statement = looked(query, within, page.cursor.key if page.cursor else None, page.limit + 1)
        async with engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        more = len(rows) > page.limit
        items = _items(rows[: page.limit], document)
        saw(request, "access", len(items))
        return answer(items, next=page.next(rows[page.limit - 1].id if more else None, within))

    @routes.get("/v1/exchanges/{id}/access", responses=documents.LOOKS, summary="Who has seen what was asked and answered in it")
    async def list_seen(request: Request, id: str, query: Seen) -> Response:  # noqa: A002
        covered = reach(request, Right.ACCESS)
        page = asked(request, query, settings, covered)
        async with engine.connect() as connection:
            found = await find(connection, id, None, NAMED, reach=covered)
            statement = at(found[0].exchange, page.cursor.key if page.cursor else None, page.limit + 1)
            rows = (await connection.execute(statement)).all()
        more = len(rows) > page.limit
        items = _items(rows[: page.limit], document if covered.everything else seen_by)
        saw(request, "seen by", len(items))
        return answer(items, next=page.next(rows[page.limit - 1].id if more else None))

    return routes


def looked(query: AccessQuery, span: Span, behind: str | None, limit: int) -> Statement:
    """A page of looks, the newest first."""
    column = looks.c
    wanted: list[ColumnElement[bool]] = []
    if span.since_us is not None:
        wanted += [column.id >= first_id(span.since_us), column.time_us >= span.since_us]
    if span.until_us is not None:
        wanted += [column.id < past_id(span.until_us), column.time_us < span.until_us]
    if behind is not None:
        wanted.append(column.id < behind)
    if query.who is not None:
        wanted.append(column.name == query.who)
    if query.action is not None:
        wanted.append(column.action == query.action)
    if query.id is not None:
        wanted.append(column.id.in_(select(looks_at.c.look).where(looks_at.c.exchange == query.id.lower())))
    return select(looks).where(*wanted).order_by(column.id.desc()).limit(limit)


def at(exchange: str, behind: str | None, limit: int) -> Statement:
    """A page of the looks that showed this exchange's texts or bodies, the newest first."""
    wanted = [looks_at.c.exchange == exchange]
    if behind is not None:
        wanted.append(looks_at.c.look < behind)
    seen = select(looks_at.c.look).where(*wanted).order_by(looks_at.c.look.desc()).limit(limit).subquery()
    return select(looks).where(looks.c.id.in_(select(seen.c.look))).order_by(looks.c.id.desc())


def _items(rows: Iterable[FoundRow], told: Callable[[Look], LookData]) -> list[bytes]:
    return [msgspec.json.encode(told(of_row(row))) for row in rows]
