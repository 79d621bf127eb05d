"""Who is logged in with a browser. Kept here and not in the cookie: so a logout ends a session for good, and their number is bounded.

The cookie is 256 random bits, given anew at each login. A restart logs everybody out, which with a provider is one redirect.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from collector.access.looker import Person
from collector.access.proof import Bearers, NotProvenError
from collector.clock import Clock

MAX_SESSIONS = 10_000  # beyond, the one that began first ends
MAX_EACH = 20  # of one person, likewise


@dataclass(frozen=True, slots=True)
class Session:
    """`token`: what was pasted, if that is how it began; it is proven anew each time. `form`: what our pages' forms carry."""

    person: Person
    until_us: int
    token: str | None = field(default=None, repr=False)
    form: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class Sessions:
    """All that are under way."""

    def __init__(self, bearers: Bearers, clock: Clock, seconds: float) -> None:
        self._bearers, self._clock, self._span_us = bearers, clock, int(seconds * 1e6)
        self._all: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, person: Person, token: str | None = None) -> str:
        """What the cookie is to hold."""
        self._make_room(person)
        cookie = secrets.token_urlsafe(32)
        self._all[_key(cookie)] = Session(person, self._clock.monotonic_us() + self._span_us, token)
        return cookie

    def end(self, cookie: str) -> None:
        """It proves nobody any more."""
        self._all.pop(_key(cookie), None)

    async def find(self, cookie: str) -> Session | None:
        """The session, if it still holds. Raises CannotProveError: whether its token still does nobody can say now."""
        session = self._all.get(_key(cookie))
        if session is None:
            return None
        if self._clock.monotonic_us() >= session.until_us:
            self.end(cookie)
            return None
        if session.token is not None:
            try:
                await self._bearers.prove(session.token)
            except NotProvenError:
                self.end(cookie)
                return None
        return session

    def _make_room(self, person: Person) -> None:
        now = self._clock.monotonic_us()
        for key in [key for key, session in self._all.items() if session.until_us <= now]:
            del self._all[key]
        whose = (person.proof, person.name)
        own = [key for key, session in self._all.items() if (session.person.proof, session.person.name) == whose]
        for key in own[: max(0, len(own) - MAX_EACH + 1)]:
            del self._all[key]
        while len(self._all) >= MAX_SESSIONS:
            self._all.popitem(last=False)


def _key(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
