"""Every look at the log is an event: it is durable before the first byte of the answer goes out.

One for each request under /v1/, refusals too; of those who prove nobody and come by the thousand, as many as the store can bear. Stands
outside of what asks people who they are and of the turns, so that it sees what these refuse, and holds no turn while it waits. An answer
with texts or bodies is withheld if its look cannot be written; any other goes out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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
ASIDE = frozenset(("ledger", "facets", "histogram", "ledger map", "ledger/map"))  # what pages show beside what they are about
WITHHELD = (
    "This holds what was asked or answered, and is given only once it is written down that you looked. The store does not take that now."
)


# In the state of requests, where no client can put anything:
INNER = "for_page"  # this one is asked by a page, on behalf of whoever looks at it
UNSEEN = "unseen"  # the value of INNER, where the page does not show what it is answered
OF_PAGE = "looks_of_page"  # the looks that a page is made of
STRANGERS = 1_000  # refusals of people who prove nobody that are written at once
STRANGERS_A_SECOND = 10  # and from then on
_NOT_LET_IN = (401, 421, 429)
_LOGIN = ("/login", "/logout")  # no look: what fails there shows nothing, and its query may hold a code


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
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if state.get(INNER):
            await self._for_page(scope, receive, send)
            return
        asked = scope["query_string"]
        of_page: list[Stored] | None = None if scope["path"].startswith("/v1/") else state.setdefault(OF_PAGE, [])
        reason = _take_reason(scope) if of_page is None else ""
        state["reason"] = reason
        begun = False

        async def keep(look: Look) -> None:
            """Of a further part of a long answer. What shows texts or bodies is not sent before it is written."""
            state["look"] = look
            if not await self._told(self._look(scope, asked.decode("latin-1"), reason, 200)):
                raise WithheldError

        async def held(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                own = self._look(scope, asked.decode("latin-1"), reason, message["status"])
                look = own if of_page is None else _together(of_page, own)
                if look is not None and not await self._told(look):
                    await problem(503, WITHHELD, LOOK_NOT_WRITTEN, headers={"Retry-After": "5"})(scope, receive, send)
                    raise WithheldError
            await send(message)

        state["keep_look"] = keep
        try:
            await self.app(scope, receive, held)
        except* WithheldError:
            pass

    async def _for_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What a page asks to be made of is one look together: the page's."""
        state, asked = scope["state"], scope["query_string"]
        state["reason"] = reason = _take_reason(scope)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and state[INNER] != UNSEEN:
                state[OF_PAGE].append(self._look(scope, asked.decode("latin-1"), reason, message["status"]))
            await send(message)

        await self.app(scope, receive, noted)

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
        state: dict[str, object] = scope["state"]
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


def _together(looks: Sequence[Stored], page: Stored) -> Stored | None:
    """The looks that a page is made of, as one: what the first of those was that showed most. `page`: the page's own look.

    None: it showed nothing of the log. Who asked for it and has not proven who he is was refused, and that is told.
    """
    about = [look for look in looks if look.action not in ASIDE]
    if page.status >= 400:
        refused = next((look for look in (*about, *looks)), None)
        if refused is not None:
            return refused.refused(page.status)
        return page if page.status in _NOT_LET_IN and not page.path.startswith(_LOGIN) else None
    answered = [look for look in about or looks if look.status < 400]
    main = next((look for look in (*(look for look in answered if look.exchanges), *answered, *about)), None)
    shown = tuple(dict.fromkeys(exchange for look in looks for exchange in look.exchanges))
    return None if main is None else main.with_exchanges(shown)


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
