"""Every look at the log is an event: it is durable before the first byte of the answer goes out.

One for each request under /v1/, refusals too; of those who prove nobody and come by the thousand, as many as the store can bear. Stands
outside of what asks people who they are and of the turns, so that it sees what these refuse, and holds no turn while it waits. An answer
with texts or bodies is withheld if its look cannot be written; any other goes out.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.access.look import Look as Stored
from collector.access.look import made
from collector.access.look_writer import LookWriter, NotWrittenError
from collector.access.looker import NOBODY, Looker
from collector.audit.looking import Look
from collector.audit.problems import LOOK_NOT_WRITTEN, problem
from collector.clock import Clock

REASON_HEADER, REASON = "meshscribe-reason", "reason"
WITHHELD = (
    "This holds what was asked or answered, and is given only once it is written down that you looked. The store does not take that now."
)


STRANGERS = 1_000  # refusals of people who prove nobody that are written at once
STRANGERS_A_SECOND = 10  # and from then on
_NOT_LET_IN = (401, 421, 429)


class Strangers:
    """How many more refusals of people who prove nobody are written: whoever floods must not fill the store with his own name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left, self._at_us = float(STRANGERS), clock.monotonic_us()

    def one_more(self) -> bool:
        """Whether this one is written."""
        now = self._clock.monotonic_us()
        self._left = min(STRANGERS, self._left + (now - self._at_us) / 1e6 * STRANGERS_A_SECOND)
        self._at_us = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class WithheldError(Exception):
    """The answer was replaced: whoever makes it may stop."""


class Looks:
    """Tells `writer` of every request before it is answered."""

    def __init__(self, app: ASGIApp, writer: LookWriter, clock: Clock) -> None:
        self.app = app
        self._writer, self._clock, self._strangers = writer, clock, Strangers(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self.app(scope, receive, send)
            return
        asked = scope["query_string"]
        reason = _take_reason(scope)
        state = scope.setdefault("state", {})
        state["reason"] = reason
        begun = False

        async def held(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                look = self._look(scope, asked.decode("latin-1"), reason, message["status"])
                if not await self._told(look):
                    await problem(503, WITHHELD, LOOK_NOT_WRITTEN, headers={"Retry-After": "5"})(scope, receive, send)
                    raise WithheldError
            await send(message)

        try:
            await self.app(scope, receive, held)
        except* WithheldError:
            pass

    async def _told(self, look: Stored) -> bool:
        """Whether the answer may go out."""
        if look.status in _NOT_LET_IN and not look.name and not self._strangers.one_more():
            self._writer.outcomes["flood"].inc()
            return True
        try:
            await self._writer.write(look, 503 if look.shown else None)
        except NotWrittenError:
            return not look.shown
        return True

    def _look(self, scope: Scope, query: str, reason: str, status: int) -> Stored:
        state: dict[str, Any] = scope["state"]
        told, looker = state.get("look"), state.get("looker")
        look = told if isinstance(told, Look) else Look(_route(scope))
        return made(
            self._clock.now_us(),
            os.urandom(16),
            looker.person if isinstance(looker, Looker) else NOBODY,
            (scope.get("client") or ("",))[0],
            (scope["method"], scope["path"], _without(query, REASON, "cursor")),
            look.action,
            status,
            look.count,
            look.ids,
            reason,
        )


def _take_reason(scope: Scope) -> str:
    """Why, by header or parameter. The routes do not get the parameter: it is not of their query."""
    query = scope["query_string"].decode("latin-1")
    said = Headers(scope=scope).get(REASON_HEADER, "")
    if REASON in query:
        said = said or next((value for name, value in parse_qsl(query) if name == REASON), "")
        scope["query_string"] = _without(query, REASON).encode("latin-1")
    return said.strip()


def _without(query: str, *names: str) -> str:
    """The query without these parameters; as it came if it has none of them."""
    parts = query.split("&")
    kept = [part for part in parts if part.partition("=")[0] not in names]
    return query if len(kept) == len(parts) else "&".join(kept)


def _route(scope: Scope) -> str:
    """What was tried, where no route told it."""
    path: str = getattr(scope.get("route"), "path", "none")
    return path.removeprefix("/v1/")
