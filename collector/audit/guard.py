"""Stands before all routes but the probes' and the login's: nobody gets past who has not proven who he is.

The answer to a bad proof never says what was wrong with it; the log does, once a minute for each address.
"""

from __future__ import annotations

import logging
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.access.entrance import Entrance
from collector.access.proof import NotProvenError
from collector.audit import assets
from collector.audit.looks import INNER
from collector.audit.probes import PATHS
from collector.audit.problems import UNAUTHENTICATED, problem
from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import RetryableError

LOGIN = "/login"
PUBLIC = PATHS | {LOGIN, "/login/sso", "/login/callback", "/login/token", "/login/ways", "/logout"} | assets.PATHS
CHALLENGE = 'Bearer realm="meshscribe"'
ASK = "Say who you are: with a bearer token, with `meshscribe login` on the command line, or at /login in a browser."
BAD = "What you showed proves nobody here: it is not known, has expired, or was made for something else. The collector's log says which."
OPEN_HEADER = "Meshscribe-Access"
_log = logging.getLogger("meshscribe.access")


class Guard:
    """Puts who asks into the request's state, as audit/looking.py reads it."""

    def __init__(self, app: ASGIApp, entrance: Entrance, clock: Clock) -> None:
        self.app = app
        self._entrance, self._complaints = entrance, Complaints(_log, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = bool(scope.get("state", {}).get(INNER))  # asked by a page, for whom has proven who he is
        if scope["type"] == "lifespan" or (scope["type"] == "http" and (inner or scope["path"] in PUBLIC)):
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # there are none, and none comes to be behind our back
            return
        headers = Headers(scope=scope)
        try:
            looker = await self._entrance.looker(headers)
        except NotProvenError as error:
            self._tell(scope, error)
            await _refusal(BAD, f'{CHALLENGE}, error="invalid_token"')(scope, receive, send)
        except RetryableError as error:
            self._complaints.tell("cannot", f"who asks cannot be told now: {error}", logging.WARNING)
            detail = "Who you are cannot be checked now: whoever has to be asked does not answer. /readyz says more."
            await problem(503, detail, headers={"Retry-After": "5"})(scope, receive, send)
        else:
            if looker is None:
                await _ask(scope, headers)(scope, receive, send)
                return
            state = scope.setdefault("state", {})
            state["looker"] = looker
            state["ask_again"] = lambda: self._entrance.looker(headers)  # for answers that do not end
            await self.app(scope, receive, send)

    def _tell(self, scope: Scope, error: NotProvenError) -> None:
        client = (scope.get("client") or ("?",))[0]
        self._complaints.tell(client, f"refused {client}, who proves nobody: {error}", logging.WARNING)


class OpenToAll:
    """Says in every answer that nobody is asked (access.open)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[OPEN_HEADER] = "open"
            await send(message)

        await self.app(scope, receive, marked if scope["type"] == "http" else send)


def _ask(scope: Scope, headers: Headers) -> Response:
    """A browser that wants a page is led to the login, anybody else gets a sentence."""
    if scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", ""):
        query = scope.get("query_string", b"").decode("latin-1")
        path = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{LOGIN}?next={quote(path, safe='/')}", 303)
    return _refusal(ASK, CHALLENGE)


def _refusal(detail: str, challenge: str) -> Response:
    return problem(401, detail, UNAUTHENTICATED, headers={"WWW-Authenticate": challenge})
