"""Who asks: a request's proof, looked for in one order. Whoever shows a token is judged by that token alone, good or bad.

A workload is whom our own sidecar put last into `x-forwarded-client-cert`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from starlette.datastructures import Headers

from collector.access.attempts import Attempts
from collector.access.looker import Authorise, Looker, Person
from collector.access.origin import Origin, cookies, may_read, origin_of
from collector.access.proof import Bearers, NotProvenError
from collector.access.sessions import Session, Sessions
from collector.receive.identity import HEADER, joined

if TYPE_CHECKING:
    from collector.access.oidc_login import OidcLogin
from collections.abc import Iterable

from collector.receive.identity import DeniedError, sender_of


class MeshPrincipals:
    """Those that `access.mesh.principals` names. Of others nothing is taken for proven, whatever the mesh says."""

    def __init__(self, principals: Iterable[str]) -> None:
        wanted = list(principals)
        self._exact = frozenset(name for name in wanted if not name.endswith("*"))
        self._beginnings = tuple(name[:-1] for name in wanted if name.endswith("*"))

    def prove(self, header: str) -> Person:
        """Whom the header's last element names; several lines of it joined by commas. Raises NotProvenError."""
        try:
            sender = sender_of(header)
        except DeniedError as error:
            raise NotProvenError(str(error)) from None
        if sender.id not in self._exact and not sender.id.startswith(self._beginnings):
            raise NotProvenError(f"access.mesh.principals does not name {sender.id}")
        return Person(
            sender.id, "mesh", (f"namespace:{sender.namespace}",), {"namespace": sender.namespace, "account": sender.service_account}
        )


class Cookie(NamedTuple):
    """A session, and the cookie that names it."""

    value: str
    session: Session


class Entrance:
    """What stands before the audit API's routes. `login`: of browsers, at a provider; None where there is none."""

    def __init__(
        self,
        url: str,
        bearers: Bearers,
        mesh: MeshPrincipals | None,
        sessions: Sessions,
        attempts: Attempts,
        authorise: Authorise,
        login: OidcLogin | None,
    ) -> None:
        self.bearers, self.sessions, self.attempts, self.login = bearers, sessions, attempts, login
        self._url, self._mesh, self._authorise = url, mesh, authorise

    async def looker(self, headers: Headers) -> Looker | None:
        """Who asks, and what he may see; None: he shows nothing that could prove who he is.

        Raises NotProvenError: what he shows proves nobody. RetryableError: whoever has to be asked does not answer.
        """
        person = await self.person(headers)
        return None if person is None else await self._authorise(person)

    async def person(self, headers: Headers) -> Person | None:
        """Who asks. See `looker`."""
        if (token := bearer(headers)) is not None:
            return await self.bearers.prove(token)
        if (found := await self.session(headers)) is not None and may_read(headers):
            return found.session.person
        shown = headers.getlist(HEADER)
        return self._mesh.prove(joined(shown)) if self._mesh is not None and shown else None

    async def session(self, headers: Headers) -> Cookie | None:
        """The browser's session, if it has one that holds. Raises CannotProveError."""
        origin = self.origin(headers)
        held = cookies(headers.getlist("cookie"), origin.session_cookie) if origin is not None else []
        if len(held) != 1:
            return None
        session = await self.sessions.find(held[0])
        return None if session is None else Cookie(held[0], session)

    def origin(self, headers: Headers) -> Origin | None:
        """Under which name the browser asks; None: under none where it could be logged in."""
        hosts = headers.getlist("host")
        return origin_of(hosts[0], self._url) if len(hosts) == 1 else None


def bearer(headers: Headers) -> str | None:
    """The token that the request shows; None: it shows none. Raises NotProvenError: it shows something else, or two."""
    shown = headers.getlist("authorization")
    if not shown:
        return None
    scheme, _, token = shown[0].partition(" ")
    if len(shown) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise NotProvenError("the header Authorization holds something else than one bearer token")
    return token.strip()
