"""GET /v1/export: all that the filters of /v1/exchanges show, as one stream or in parts, in NDJSON or CSV.

The answer is read page by page, each with a turn of its own: a client that reads slowly holds a seat and a page, and nothing of the store.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Protocol

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Right
from collector.audit import cursors, documents
from collector.audit import exchange_queries as queries
from collector.audit.exchanges import may_ask
from collector.audit.export_forms import FORMS, Csv, Ndjson
from collector.audit.export_pages import Part, Shown, part
from collector.audit.fixed import Fixed, fix
from collector.audit.long_answers import Seats, Standing, Streamed
from collector.audit.looking import reach, saw, saw_more, within
from collector.audit.moments import span
from collector.audit.pages import Portions
from collector.audit.parameters import Exported, ExportQuery
from collector.audit.problems import BadParametersError, Fault
from collector.audit.records import as_seen
from collector.audit.turns import Turn, turn
from collector.clock import Clock
from collector.settings import Audit
from collector.store.schema import exchanges

_PIECE = 64  # items written to the client at a time, where they have bodies


class Hashed(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def router(engine: AsyncEngine, settings: Audit, clock: Clock, portions: Portions) -> APIRouter:
    """The route of exports."""
    routes = APIRouter(tags=["export"])
    seats = Seats("exports", settings.exports, settings.client_exports)

    @routes.get("/v1/export", responses=documents.EXPORT, summary="All exchanges that match, as lines")
    async def export(request: Request, query: Exported) -> Response:
        """What the store holds when it begins, and no later row or revision. The last line tells how many there are and their SHA-256."""
        shown = _shown(request, query, portions)
        seat = seats.take(turn(request).client)
        with seat.kept():
            at = await _at(engine, request, query, clock)
            job = _Job(engine, query, at, shown, FORMS[query.format](query.bodies), query.limit)
            first = await job.read()
            saw(request, "export", len(first.items), _ids(first))
        headers = {"Meshscribe-Cursor": cursors.encode(at)}
        return Streamed(_stream(request, job, first, turn(request), Standing(request, clock)), job.form.media_type, [seat.leave], headers)

    return routes


def _shown(request: Request, query: ExportQuery, portions: Portions) -> Shown:
    also = may_ask(request, query)
    bodies = within(reach(request, Right.BODIES), exchanges) if query.bodies else None
    return Shown(queries.beyond(query, reach(request, Right.EXCHANGES)), bodies, partial(as_seen, request), also, portions)


async def _at(engine: AsyncEngine, request: Request, query: ExportQuery, clock: Clock) -> Fixed:
    """Where it begins. Raises BadParametersError: the cursor is of another query."""
    fingerprint = cursors.fingerprint(request.query_params.multi_items(), reach(request, Right.EXCHANGES))
    if query.cursor is None:
        async with engine.connect() as connection:
            within_time = span(query.since, query.until, clock.now_us())
            return await fix(connection, fingerprint, within_time, reach(request, Right.EXCHANGES))
    try:
        return cursors.read(query.cursor, fingerprint, Fixed)
    except ValueError as error:
        raise BadParametersError([Fault("cursor", str(error))]) from None


@dataclass(slots=True)
class _Job:
    """An export under way. `left`: items that it may still have; None: all."""

    engine: AsyncEngine
    query: ExportQuery
    at: Fixed
    shown: Shown
    form: Ndjson | Csv
    left: int | None
    rows: int = 0
    size: int = 0
    more: bool = True
    _hash: Hashed = field(default_factory=sha256)

    async def read(self) -> Part:
        """The next page."""
        async with self.engine.connect() as connection:
            found = await part(connection, self.query, self.at, self.left if self.left is not None else 1 << 30, self.shown)
        self.rows += len(found.items)
        self.left = None if self.left is None else self.left - len(found.items)
        self.more = found.more
        if found.items:
            self.at = self.at.behind(found.items[-1].id)
        return found

    def counted(self, piece: bytes) -> bytes:
        """Part of what the last line speaks of."""
        self._hash.update(piece)
        self.size += len(piece)
        return piece

    def ended(self, why: str) -> bytes:
        """The last line of an answer that ends before its time: it vouches for nothing, and says from where to go on."""
        return self.form.end({"ended": why, "rows": self.rows, "bytes": self.size, "next": cursors.encode(self.at)})

    def end(self) -> bytes:
        """The last line."""
        told: dict[str, object] = {"rows": self.rows, "bytes": self.size, "sha256": self._hash.hexdigest()}
        return self.form.end({**told, "next": cursors.encode(self.at)} if self.more else told)


async def _stream(request: Request, job: _Job, first: Part, turn: Turn, standing: Standing) -> AsyncGenerator[bytes]:
    if head := job.form.head():
        yield job.counted(head)
    found = first
    while True:
        at_once = _PIECE if job.query.bodies else len(found.items)
        for start in range(0, len(found.items), at_once or 1):
            yield job.counted(job.form.items(found.items[start : start + at_once]))
        if not job.more or job.left == 0:
            break
        if why := await standing.fault():
            yield job.ended(why)
            return
        found = await turn.take(job.read)
        await saw_more(request, len(found.items), _ids(found))
    yield job.end()


def _ids(found: Part) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.exchange for item in found.items if item.bodies or item.texts))
