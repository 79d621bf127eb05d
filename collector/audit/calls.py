"""GET /v1/calls/{request id}: the exchanges of one user request at several proxies, put together when they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Right
from collector.audit import call_documents, documents
from collector.audit import exchange_queries as queries
from collector.audit.folding import Call, Folded, fold
from collector.audit.hops import Hop, hop
from collector.audit.looking import reach, saw
from collector.audit.moments import span
from collector.audit.pages import answer, read
from collector.audit.parameters import Calls, RequestId
from collector.audit.problems import NotFoundError
from collector.audit.records import records
from collector.clock import Clock
from collector.describe.record import call_id
from collector.store.sql_types import FoundRow

MOST = 500  # exchanges: a call has a few; only ids that a client repeats have more


def router(engine: AsyncEngine, clock: Clock) -> APIRouter:
    """The route of calls."""
    routes = APIRouter(tags=["calls"])

    # A request id is whatever the client sent: it may hold slashes.
    @routes.get("/v1/calls/{request_id:path}", responses=documents.CALLS, summary="A user's request through all its proxies")
    async def get_calls(request: Request, request_id: RequestId, query: Calls) -> Response:
        """Every exchange with this request id (but for the character in which Envoy notes its tracing decision), as trees.

        A client that repeats a request id gets several calls.
        """
        covered = reach(request, Right.EXCHANGES)
        within = span(query.since, query.until, clock.now_us())
        async with engine.connect() as connection:
            rows, more = await read(connection, queries.hops(request_id, within, MOST + 1, covered), MOST)
            stored = await records(connection, rows)
        if not rows:
            raise NotFoundError(f"No exchange with the request id {request_id[:80]!r} is stored{' for that time' if any(within) else ''}.")
        items = await asyncio.to_thread(_items, rows, stored)
        saw(request, "call", len(rows))
        return answer(items, call_id=_masked(request_id), truncated=True if more else None)

    return routes


def _masked(asked: str) -> str:
    return call_id(queries.request_ids(asked)[0])


def _items(rows: Sequence[FoundRow], stored: Sequence[bytes]) -> list[bytes]:
    found = (_readable(row, record) for row, record in zip(rows, stored, strict=True))
    folded = fold(one for one in found if one is not None)
    return [msgspec.json.encode(document(call, folded)) for call in folded.calls]


def _readable(row: FoundRow, record: bytes) -> Hop | None:
    """None: of a damaged row not even what a hop needs can be read. The call is told without it."""
    try:
        return hop(record, row.time_us, row.duration_us)
    except (msgspec.ValidationError, TypeError):
        return None


def document(call: Call, folded: Folded) -> call_documents.Call:
    """The call as the API answers it."""
    root = call.hops[0][1]
    told: call_documents.Call = {"root": root.id, "start": root.shown["start"]}
    if "duration_ms" in root.shown:
        told["duration_ms"] = root.shown["duration_ms"]
    trace = next((hop.trace_id for _, hop in call.hops if hop.trace_id), None)
    if trace is not None:
        told["trace_id"] = trace
    told.update(billing([hop for _, hop in call.hops]))
    told["hops"] = [_hop(hop, depth, folded) for depth, hop in call.hops]
    return told


def billing(hops: Sequence[Hop]) -> call_documents.Call:
    """{"billed"}, or {"conflict"} if several hops would each be billed, or nothing.

    A hop that is to be billed and has a usage event counts; of several, as retries make them, those count that tell usage.
    """
    wanted = [hop for hop in hops if hop.billable]
    if len(wanted) > 1:
        wanted = [hop for hop in wanted if "usage" in hop.shown] or wanted
    if len(wanted) > 1:
        return {"conflict": [hop.id for hop in wanted]}
    return {"billed": wanted[0].id} if wanted else {}


def _hop(hop: Hop, depth: int, folded: Folded) -> call_documents.Hop:
    told: call_documents.Hop = {"id": hop.id, "depth": depth}
    link = folded.links.get(hop.id)
    if link is not None:
        told["parent"], told["link"] = link.parent.id, link.kind
        if link.ambiguous:
            told["ambiguous"] = True
    return {**told, **hop.shown}
