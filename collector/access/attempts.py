"""Logins that are under way. Nothing is kept of them here, so nobody can fill anything: the cookie holds a random number, and what the
provider is told (state, nonce, PKCE's verifier) is made of that and of a key of this process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from collector.access.proof import NotProvenError
from collector.clock import Clock

SECONDS = 600  # that a login may take
MAX_COOKIE = 4096


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login. `next`: the path that it leads to. The rest is secret, or was sent to the provider."""

    next: str
    cookie: str = field(repr=False)
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    form: str = field(repr=False)

    @property
    def challenge(self) -> str:
        """PKCE's, of the method S256."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


class Attempts:
    """Makes them, and knows them again."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._key = clock, secrets.token_bytes(32)

    def begin(self, path: str) -> Attempt:
        """A new one, that leads to this path."""
        return self._attempt(".".join([secrets.token_urlsafe(32), str(self._clock.monotonic_us()), _text(path.encode())]))

    def find(self, cookie: str) -> Attempt:
        """The one whose cookie this is. Raises NotProvenError: it is not ours, or too old."""
        content, _, seal = cookie.rpartition(".")
        if len(cookie) > MAX_COOKIE or not hmac.compare_digest(seal.encode("utf-8", "replace"), self._made("seal", content).encode()):
            raise NotProvenError("the login was not begun here, or before the collector's last start")
        attempt = self._attempt(content)
        began_us = int(content.split(".")[1])
        if self._clock.monotonic_us() - began_us > SECONDS * 1_000_000:
            raise NotProvenError(f"the login took longer than {SECONDS} s")
        return attempt

    def _attempt(self, content: str) -> Attempt:
        path = urlsafe_b64decode(content.split(".")[2] + "==").decode()
        secrets_of_it = (self._made(what, content) for what in ("state", "nonce", "verifier", "form"))
        return Attempt(path, f"{content}.{self._made('seal', content)}", *secrets_of_it)

    def _made(self, what: str, content: str) -> str:
        return _text(hmac.digest(self._key, f"{what}.{content}".encode("utf-8", "replace"), "sha256"))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
