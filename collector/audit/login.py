"""GET /login and what belongs to it: how a browser gets a session, and gives it back. The logic is in collector/access.

A session begins with a new cookie each time, whatever the browser held before. What changes something is a POST from a page of ours.
"""

from __future__ import annotations

import hmac
import logging
from typing import TypedDict
from urllib.parse import parse_qsl, urlsplit

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from collector.access.attempts import SECONDS, Attempt
from collector.access.entrance import Entrance
from collector.access.looker import Person
from collector.access.origin import Origin, cookies, is_from_here, local
from collector.access.proof import CannotProveError, NotProvenError
from collector.audit.looking import looker
from collector.clock import Clock
from collector.complaints import Complaints
from collector.page.render import LOGIN_POLICY, render
from collector.settings import Access

MAX_FORM = 32 << 10
SORRY = "That proved nobody here: it is not known, has expired, or was made for something else. The collector's log says which."
AGAIN = "This login was not begun here, or took too long. Begin it again."
AWAY = "Whoever has to be asked about you does not answer now. Try again."
ELSEWHERE = "That form did not come from a page of ours. Begin again here."
_log = logging.getLogger("meshscribe.access")


class OidcWay(TypedDict):
    """By an OpenID Connect provider."""

    issuer: str
    client_id: str
    audience: str
    scopes: list[str]


class KubernetesWay(TypedDict):
    """By a token of Kubernetes, made for this audience; empty: for the API server itself."""

    audience: str


class Ways(TypedDict, total=False):
    """How one may log in, by what there is. `token`: with one of a file."""

    oidc: OidcWay
    kubernetes: KubernetesWay
    token: dict[str, str]


class Desk:
    """The routes' common part."""

    def __init__(self, entrance: Entrance, settings: Access, clock: Clock) -> None:
        self.entrance, self._settings, self._clock = entrance, settings, clock
        self._complaints = Complaints(_log, clock)
        self._issuer = urlsplit(settings.oidc.issuer).netloc

    def attempt(self, request: Request, origin: Origin) -> Attempt:
        """The login that this browser has begun. Raises NotProvenError."""
        held = cookies(request.headers.getlist("cookie"), origin.login_cookie)
        if len(held) != 1:
            raise NotProvenError(f"the browser has {len(held)} cookies of a login, where one is needed")
        return self.entrance.attempts.find(held[0])

    async def page(self, request: Request, said: str = "", status: int = 200) -> Response:
        """The page, and with it a new attempt."""
        origin = self.entrance.origin(request.headers)
        values: dict[str, object] = {"said": said, "who": "", "form": "", "provider": "", "tokens": False}
        try:
            found = await self.entrance.session(request.headers)
        except CannotProveError:
            found = None
        if found is not None:
            values |= {"who": found.session.person.name, "form": found.session.form}
        elif origin is not None:
            attempt = self.entrance.attempts.begin(local(request.query_params.get("next", "/")))
            provider = self._issuer if self.entrance.login is not None else ""
            values |= {"form": attempt.form, "provider": provider, "tokens": self._takes_tokens}
        # With a stricter policy old browsers would not say in Origin which page a form comes from.
        headers = {"Content-Security-Policy": LOGIN_POLICY, "Referrer-Policy": "same-origin"}
        answer = HTMLResponse(render("login.html", **values), status, headers=headers)
        if found is None and origin is not None:
            answer.headers.append("Set-Cookie", origin.cookie(origin.login_cookie, attempt.cookie, SECONDS))
        return answer

    @property
    def _takes_tokens(self) -> bool:
        settings = self._settings
        return bool(settings.oidc.issuer or settings.kubernetes.enabled or settings.tokens_file)

    async def enter(self, request: Request, origin: Origin, path: str, person: Person, token: str | None = None) -> Response:
        """Begins a session: a new cookie, and the old one proves nobody any more."""
        for old in cookies(request.headers.getlist("cookie"), origin.session_cookie):
            self.entrance.sessions.end(old)
        cookie = self.entrance.sessions.begin(person, token)
        _log.info("%s (%s) has logged in with a browser, from %s", person.name, person.proof, _address(request))
        answer = RedirectResponse(local(path), 303)
        answer.headers.append("Set-Cookie", origin.cookie(origin.session_cookie, cookie, int(self._settings.session_seconds)))
        answer.headers.append("Set-Cookie", origin.cookie(origin.login_cookie, "", 0))
        return answer

    async def refuse(self, request: Request, error: NotProvenError, said: str) -> Response:
        """The page again, with a sentence; the log has the reason."""
        client = _address(request)
        self._complaints.tell(client, f"a login from {client} failed: {error}", logging.WARNING)
        return await self.page(request, said, 403)

    def ways(self) -> bytes:
        """How the command line may log somebody in: nothing that is secret."""
        settings = self._settings
        ways: Ways = {}
        if settings.oidc.issuer:
            oidc = settings.oidc
            ways["oidc"] = {"issuer": oidc.issuer, "client_id": oidc.client_id, "audience": oidc.audience, "scopes": oidc.scopes}
        if settings.kubernetes.enabled:
            ways["kubernetes"] = {"audience": settings.kubernetes.audience}
        if settings.tokens_file is not None:
            ways["token"] = {}
        return msgspec.json.encode(ways)


def router(entrance: Entrance, settings: Access, clock: Clock) -> APIRouter:
    """The routes of logging in and out."""
    routes, desk = APIRouter(include_in_schema=False), Desk(entrance, settings, clock)

    @routes.get("/login")
    async def page(request: Request) -> Response:
        return await desk.page(request)

    @routes.get("/login/ways")
    async def ways() -> Response:
        return Response(desk.ways(), media_type="application/json")

    @routes.get("/login/who")
    async def who(request: Request) -> Response:
        found = looker(request)
        told = {"name": found.person.name, "proof": found.person.proof, "rights": [right.value for right in found.rights]}
        return Response(msgspec.json.encode(told), media_type="application/json")

    @routes.get("/login/sso")
    async def sso(request: Request) -> Response:
        return await _to_provider(desk, request)

    @routes.get("/login/callback")
    async def callback(request: Request) -> Response:
        return await _from_provider(desk, request)

    @routes.post("/login/token")
    async def token(request: Request) -> Response:
        return await _with_token(desk, request)

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        return await _out(desk, request)

    return routes


async def _to_provider(desk: Desk, request: Request) -> Response:
    origin, login = desk.entrance.origin(request.headers), desk.entrance.login
    if login is None or origin is None:
        return await desk.page(request, "There is no such login here.", 404)
    try:
        attempt = desk.attempt(request, origin)
        return RedirectResponse(await login.url(attempt, origin.base), 303)
    except NotProvenError:
        return RedirectResponse("/login", 303)
    except CannotProveError:
        return await desk.page(request, AWAY, 503)


async def _from_provider(desk: Desk, request: Request) -> Response:
    origin, login = desk.entrance.origin(request.headers), desk.entrance.login
    if login is None or origin is None:
        return await desk.page(request, "There is no such login here.", 404)
    answer = dict(request.query_params)
    try:
        attempt = desk.attempt(request, origin)
    except NotProvenError as error:
        return await desk.refuse(request, error, AGAIN)
    try:
        person = await login.person(attempt, origin.base, answer)
    except NotProvenError as error:
        return await desk.refuse(request, error, SORRY)
    except CannotProveError:
        return await desk.page(request, AWAY, 503)
    return await desk.enter(request, origin, attempt.next, person)


async def _with_token(desk: Desk, request: Request) -> Response:
    origin = desk.entrance.origin(request.headers)
    if origin is None:
        return await desk.page(request, status=404)
    form = await _form(request)
    try:
        attempt = desk.attempt(request, origin)
        if not is_from_here(request.headers, origin) or not _same(form.get("form", ""), attempt.form):
            raise NotProvenError("a form that is not of our page (CSRF)")
    except NotProvenError as error:
        return await desk.refuse(request, error, ELSEWHERE)
    token = form.get("token", "").strip()
    try:
        person = await desk.entrance.bearers.prove(token)
    except NotProvenError as error:
        return await desk.refuse(request, error, SORRY)
    except CannotProveError:
        return await desk.page(request, AWAY, 503)
    return await desk.enter(request, origin, attempt.next, person, token)


async def _out(desk: Desk, request: Request) -> Response:
    origin, form = desk.entrance.origin(request.headers), await _form(request)
    try:
        found = await desk.entrance.session(request.headers)
    except CannotProveError:
        return await desk.page(request, AWAY, 503)
    if origin is None or found is None:
        return RedirectResponse("/login", 303)
    if not is_from_here(request.headers, origin) or not _same(form.get("form", ""), found.session.form):
        return await desk.refuse(request, NotProvenError("a logout that is not of our page (CSRF)"), ELSEWHERE)
    desk.entrance.sessions.end(found.value)
    answer = RedirectResponse("/login", 303)
    answer.headers.append("Set-Cookie", origin.cookie(origin.session_cookie, "", 0))
    return answer


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "?"


async def _form(request: Request) -> dict[str, str]:
    """What the form holds. Raises HTTPException: it is larger than any of ours."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            raise HTTPException(413, f"A form of more than {MAX_FORM} bytes is none of ours.")
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=16))
    except ValueError:
        raise HTTPException(400, "A form of so many fields is none of ours.") from None


def _same(sent: str, own: str) -> bool:
    return hmac.compare_digest(sent.encode("utf-8", "replace"), own.encode())
