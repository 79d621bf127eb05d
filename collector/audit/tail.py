"""GET /v1/tail: exchanges as they are stored, as server-sent events.

An event's id is the place behind it: who comes again with it (Last-Event-ID) gets what was stored since, all of it, once. Who reads too
slowly is told how many were left out, and between which places. All readers of a process share one look at the store (tails.py); what
somebody has to catch up he reads by himself, with turns.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable, Sequence

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import EVERYTHING, Reach, Right
from collector.audit import cursors, documents
from collector.audit import exchange_queries as queries
from collector.audit.exchanges import may_ask
from collector.audit.long_answers import Seats, Standing, Streamed
from collector.audit.looking import looker, reach, saw, saw_more, within
from collector.audit.moments import span
from collector.audit.news import BEGINNING, Chunk, Places, Wish, high, news, seen, written
from collector.audit.pages import Portions
from collector.audit.parameters import Tailed, TailQuery
from collector.audit.problems import BadParametersError, Fault
from collector.audit.records import as_seen
from collector.audit.tails import Attendance, Tails
from collector.audit.turns import turn
from collector.audit.values import After, after
from collector.clock import Clock
from collector.settings import Audit
from collector.store.schema import exchanges
from collector.store.sql_types import FoundRow

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1000
NOTHING_YET = "-:0:0"  # no journal has this name: who comes again with it begins at the beginning of all
TELL_EACH = 500  # exchanges shown: then the look is told of again, with the next chunk fewer than a look names (look.MOST_IDS)


def router(engine: AsyncEngine, settings: Audit, clock: Clock, tails: Tails, portions: Portions) -> APIRouter:
    """The route of the tail."""
    routes = APIRouter(tags=["tail"])
    seats = Seats("tails", settings.tails, settings.client_tails)

    @routes.get("/v1/tail", responses=documents.TAIL, summary="Exchanges as they are stored")
    async def tail(request: Request, query: Tailed) -> Response:
        """Events `exchange`, each with a record, and `left_out`, as text/event-stream. It ends by itself only where the reader's rights do:
        with an event `ended` that says so.
        """
        covered = reach(request, Right.EXCHANGES)
        may_ask(request, query)
        asked = _asked(request, query)
        seat = seats.take(turn(request).client)
        with seat.kept():
            wish = _wish(request, query, covered, clock)
            attendance = await tails.attend(_key(request), wish)
            try:
                async with engine.connect() as connection:
                    at = await _begin(connection, asked, wish, covered, tails.places)
            except BaseException:
                attendance.leave()
                raise
            saw(request, "tail")
        events = _Events(engine, request, tails, attendance, wish, Standing(request, clock, portions.tail_quiet_seconds), portions)
        return Streamed(events.all(at), MEDIA_TYPE, [attendance.leave, seat.leave], {"X-Accel-Buffering": "no"}, events.told_at_last)

    return routes


def _asked(request: Request, query: TailQuery) -> After | None:
    """None: from now on."""
    told = request.headers.get("last-event-id")
    if not told:
        return query.after if query.after is not None and not query.after.now else None
    try:
        return after(told)
    except ValueError as error:
        raise BadParametersError([Fault("Last-Event-ID", str(error))]) from None


def _wish(request: Request, query: TailQuery, covered: Reach, clock: Clock) -> Wish:
    within_time = span(query.since, query.until, clock.now_us())

    async def see(connection: AsyncConnection, rows: Sequence[FoundRow]) -> tuple[list[bytes], set[str]]:
        """As he sees them who asked first: all who share the wish have the same rights."""
        return await as_seen(request, connection, rows)

    return Wish([*queries.conditions(query, within_time), within(covered, exchanges)], see, covered.everything)


def _key(request: Request) -> Hashable:
    """The filters and the rights. (Relative times mean something else a moment later; so do they to one reader who stays.)"""
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    return cursors.fingerprint(asked, EVERYTHING), frozenset(looker(request).rights.items())


async def _begin(connection: AsyncConnection, asked: After | None, wish: Wish, covered: Reach, now: Places) -> Places:
    """Where the reader is; what it is told of that is in the wish. Nobody is told how far what he may not see has come."""
    own = await seen(connection, covered)
    if asked is None:
        wish.places = dict(now) if covered.everything else own
        return dict(now)
    known = dict(asked.places)
    wish.places = {name: min(known.get(name, BEGINNING), place) for name, place in own.items()}
    held = own if covered.everything else await high(connection)
    return {name: min(known.get(name, BEGINNING), place) for name, place in held.items()}


class _Events:
    """What one answer holds."""

    def __init__(
        self,
        engine: AsyncEngine,
        request: Request,
        tails: Tails,
        attendance: Attendance,
        wish: Wish,
        standing: Standing,
        portions: Portions,
    ) -> None:
        self._engine, self._request, self._tails, self._attendance, self._wish = engine, request, tails, attendance, wish
        self._standing, self._portions = standing, portions
        self._shown = self._told_of = 0
        self._texts: list[str] = []  # whose texts were sent since the look was told of

    async def all(self, at: Places) -> AsyncGenerator[bytes]:
        """What was missed, then what comes."""
        yield b"retry: %d\n%s\n\n" % (RETRY_MS, self._quiet(self._wish.places))
        await self._tails.passed(at)
        while (reader := await self._attendance.join(at)) is None:
            if why := await self._standing.fault():
                yield _ended(why)
                return
            at, chunk = await turn(self._request).take(lambda: self._missed(at))  # noqa: B023
            if chunk is not None:
                await self._told(chunk)
                yield chunk.data
        while True:
            found = await reader.take(self._portions.tail_quiet_seconds)
            places = self._tails.places if self._wish.everything else None  # before anything is awaited: not ahead of what waits
            if why := await self._standing.fault():
                yield _ended(why)
                return
            if found is not None:
                await self._told(found)
                yield found.data
            elif reader.ended:
                break
            else:
                await self.told_at_last()
                yield self._quiet(places) + b"\n\n"

    async def _missed(self, at: Places) -> tuple[Places, Chunk | None]:
        async with self._engine.connect() as connection:
            reached, chunks = await news(connection, at, self._tails.places, [self._wish], self._portions)
        return reached, chunks.get(self._wish)

    async def _told(self, chunk: Chunk) -> None:
        """The look is told of before it shows the first exchanges, and again after so many, where it falls silent, and at its end."""
        begins = not self._shown
        self._shown += chunk.number
        self._texts += chunk.texts
        if begins or self._shown - self._told_of >= TELL_EACH:
            await self.told_at_last()

    async def told_at_last(self) -> None:
        """The look at what was shown since it was told of."""
        count, texts = self._shown - self._told_of, tuple(dict.fromkeys(self._texts))
        if count:
            self._told_of, self._texts = self._shown, []
            await saw_more(self._request, count, texts)

    def _quiet(self, places: Places | None) -> bytes:
        """A comment, with the place where one may be told: so who comes again has less to look through."""
        return b": still here" if places is None else b"id: %s\n: still here" % (written(places) or NOTHING_YET).encode()


def _ended(why: str) -> bytes:
    """The last event. It has no id: who comes again goes on behind what he was told before."""
    return b"event: ended\ndata: " + msgspec.json.encode({"why": why}) + b"\n\n"
