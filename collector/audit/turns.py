"""Queries share the store: so many at a time, of one client no more than its share, and none longer than the limit.

Who waits is let in by clients in turn, so that a hundred queries of one are no longer a wait for another than one of them. A client is who
has proven who he is, for behind a gateway or a sidecar all have one address; where nobody is asked it is an address. The limit is told to
the store's connections (sqlite/turns.py, statement_timeout); a store that answers nothing at all is given up here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.access.looker import Looker
from collector.audit.problems import STORE_UNAVAILABLE, problem, used_up
from collector.clock import Clock
from collector.complaints import Complaints
from collector.settings import Audit
from collector.sqlite.turns import DEADLINE

WAITING_EACH = 16  # queries of one client that wait for their turn
GRACE_SECONDS = 1.0  # for the store to end a query by itself, and say so
T = TypeVar("T")
_log = logging.getLogger(__name__)


class TooManyError(Exception):
    """The client has more queries than its share at work and waiting."""


class Line:
    """Turns. `at_once` for all clients together, `each` for one."""

    def __init__(self, at_once: int, each: int) -> None:
        self._at_once, self._each = at_once, each
        self._running = Counter[str]()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # clients in the order of their turns

    async def enter(self, client: str, begun: bool = False) -> None:
        """Returns when it is this query's turn; then `leave` must follow. Raises TooManyError at once, unless it is a further part of an
        answer that has `begun`: of those there are few (long_answers.py).
        """
        if client not in self._waiting and self._may_run(client):
            self._running[client] += 1
            return
        line = self._waiting.setdefault(client, deque())
        if len(line) >= WAITING_EACH and not begun:
            raise TooManyError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(client)
            elif turn in (line := self._waiting.get(client, deque())):  # unless `leave` has passed over it meanwhile
                line.remove(turn)
                self._forget(client)
            raise

    def leave(self, client: str) -> None:
        """The next one's turn."""
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        for waiting, line in list(self._waiting.items()):
            while line and line[0].done():  # given up in this very moment
                line.popleft()
            if line and self._may_run(waiting):
                self._running[waiting] += 1
                line.popleft().set_result(None)
                self._waiting.move_to_end(waiting)
            self._forget(waiting)

    @property
    def running(self) -> int:
        return self._running.total()

    def _may_run(self, client: str) -> bool:
        return self._running.total() < self._at_once and self._running[client] < self._each

    def _forget(self, client: str) -> None:
        if not self._waiting[client]:
            del self._waiting[client]


class Turn:
    """A turn for each further part of a long answer: between two of them it holds nothing, however slowly its client reads."""

    def __init__(self, line: Line, client: str, seconds: float) -> None:
        self._line, self.client, self._seconds = line, client, seconds

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does it when it is its turn. Raises TimeoutError: the store does not answer."""
        await self._line.enter(self.client, begun=True)
        told = DEADLINE.set(time.monotonic() + self._seconds)
        try:
            async with asyncio.timeout(self._seconds + GRACE_SECONDS):
                return await work()
        finally:
            DEADLINE.reset(told)
            self._line.leave(self.client)


def turn(request: Request) -> Turn:
    """Of a request that Turns let in."""
    found = request.state.turn
    assert isinstance(found, Turn)
    return found


class Turns:
    """Stands before the routes under /v1/. Gives each request its Turn."""

    def __init__(self, app: ASGIApp, settings: Audit, clock: Clock) -> None:
        self.app = app
        self._settings, self._seconds = settings, settings.query_seconds
        self._line = Line(settings.queries, settings.client_queries)
        self._complaints = Complaints(_log, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self.app(scope, receive, send)
            return
        client = _client(scope)
        scope.setdefault("state", {})["turn"] = Turn(self._line, client, self._seconds)
        try:
            async with asyncio.timeout(self._seconds) as patience:
                await self._line.enter(client)
                patience.reschedule(None)
        except TooManyError:
            await self._too_many(scope, receive, send)
        except TimeoutError:
            await self._no_turn(scope, receive, send)
        else:
            await self._run(client, scope, receive, send)

    async def _run(self, client: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The turn ends where the answer begins: a client may take its time to read."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                if not timer.expired():
                    timer.reschedule(None)
                self._line.leave(client)
            await send(message)

        told = DEADLINE.set(time.monotonic() + self._seconds)
        try:
            async with asyncio.timeout(self._seconds + GRACE_SECONDS) as timer:
                await self.app(scope, receive, watched)
        except TimeoutError:
            if begun or not timer.expired():
                raise
            await self._silent(scope, receive, watched)
        finally:
            DEADLINE.reset(told)
            if not begun:
                self._line.leave(client)

    async def _silent(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = f"the store has not answered for {self._seconds:g} s (audit.query_seconds)"
        self._complaints.tell("silent", f"a query is given up: {said}")
        detail = f"Waiting for the store: {said[4:]}. /readyz says how the collector fares with it."
        await problem(503, detail, STORE_UNAVAILABLE, headers={"Retry-After": "5"})(scope, receive, send)

    async def _too_many(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = (
            f"{WAITING_EACH} queries of this client wait for their turn; {self._settings.client_queries} are answered at a time"
            " (audit.client_queries): wait for answers before you ask for more."
        )
        await problem(429, detail, headers=used_up("queries", self._settings.client_queries))(scope, receive, send)

    async def _no_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"Waited {self._seconds:g} s for its turn: {self._line.running} queries are at work (audit.queries)."
        await problem(503, detail, headers={"Retry-After": "5"})(scope, receive, send)


def _client(scope: Scope) -> str:
    found = scope.get("state", {}).get("looker")
    if isinstance(found, Looker) and found.person.proof != "nothing":
        return f"{found.person.proof}:{found.person.name}"
    return str((scope.get("client") or ("",))[0])
