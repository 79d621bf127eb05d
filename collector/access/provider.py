"""The OpenID Connect provider: where its endpoints are, and its keys. Both are kept while it is away; the older the keys, the louder.

Keys are asked for anew every ten minutes, and when a token names one that is not known: that at most every ten seconds, whoever asks.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import orjson

from collector.access.proof import CannotProveError
from collector.access.signed import Key, keys_of
from collector.clock import Clock
from collector.complaints import Outage
from collector.errors import SettingsError
from collector.health import Component
from collector.retry import Backoff
from collector.settings.access import Oidc, is_loopback
from collector.tasks import cancel

REFRESH_SECONDS = 600.0
ASK_AGAIN_US = 10_000_000  # between two requests because of a key that is not known
MAX_BYTES = 1 << 20
TIMEOUT = httpx.Timeout(5.0)
WELL_KNOWN = "/.well-known/openid-configuration"
_log = logging.getLogger("meshscribe.access")


class Endpoints(NamedTuple):
    """Where the provider is asked for what. `device` may be empty."""

    authorization: str
    token: str
    keys: str
    device: str = ""


class Provider:
    """One provider. `start` asks it in the background until it answers, and from then on now and then."""

    def __init__(self, settings: Oidc, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._http = httpx.AsyncClient(verify=_trust(settings), timeout=TIMEOUT, follow_redirects=False)
        self._outage = Outage("the OpenID Connect provider answers", _log, clock)
        self._endpoints: Endpoints | None = None
        self._keys: list[Key] = []
        self._asked_us = self._learnt_us = 0
        self._fault = "it has not been asked yet"
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Returns at once."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends its connections."""
        if self._task is not None:
            await cancel(self._task)
        await self._http.aclose()

    def component(self) -> Component:
        """Whether logins work. With keys that it told before they do for those who have a token."""
        name = "access/oidc"
        if not self._keys:
            return Component(name, False, f"{self._settings.issuer}: no keys yet, so its tokens prove nobody: {self._fault}")
        if self._fault:
            minutes = (self._clock.monotonic_us() - self._learnt_us) / 60e6
            return Component(name, True, f"{self._settings.issuer} fails, its keys of {minutes:.0f} minutes ago are used: {self._fault}")
        return Component(name, True, f"{len(self._keys)} keys")

    async def endpoints(self) -> Endpoints:
        """Raises CannotProveError."""
        if self._endpoints is None:
            await self._renew(self._asked_us)
        if self._endpoints is None:
            raise CannotProveError(f"{self._settings.issuer}: {self._fault}")
        return self._endpoints

    async def keys(self) -> Sequence[Key]:
        """Those that are known. Raises CannotProveError: none are."""
        if not self._keys:
            await self._renew(self._asked_us)
        if not self._keys:
            raise CannotProveError(f"{self._settings.issuer}: {self._fault}")
        return self._keys

    async def newer_keys(self) -> Sequence[Key]:
        """After a token named one that is not known: asks again, unless that was just done."""
        await self._renew(self._asked_us)
        return self._keys

    async def post(self, url: str, form: Mapping[str, str], login: tuple[str, str] | None) -> Mapping[str, object]:
        """The JSON object that the provider answers, also with status 400. Raises CannotProveError."""
        auth = httpx.BasicAuth(*login) if login is not None else None
        return await self._object("POST", url, form, auth, (200, 400, 401))

    async def _run(self) -> None:
        backoff = Backoff(1.0, 60.0, random.random)
        while True:
            await self._renew(self._asked_us, always=True)
            if self._fault:
                wait = backoff.next_s()
            else:
                backoff.reset()
                wait = REFRESH_SECONDS * (0.9 + random.random() / 5)
            await self._clock.sleep(wait)

    async def _renew(self, seen_us: int, *, always: bool = False) -> None:
        """Asks once for all who wait. `seen_us`: when it was asked last, as whoever wants it saw; later is good enough."""
        async with self._lock:
            now = self._clock.monotonic_us()
            if self._asked_us != seen_us or (not always and self._asked_us and now - self._asked_us < ASK_AGAIN_US):
                return
            self._asked_us = now
            try:
                self._endpoints = await self._discover()
                keys = keys_of(await self._object("GET", self._endpoints.keys))
                if not keys:
                    raise CannotProveError(f"{self._endpoints.keys} has no key that can verify")
            except CannotProveError as error:
                self._fault = str(error)
                self._outage.fails("provider", f"access.oidc: {error}")
            else:
                self._keys, self._learnt_us, self._fault = keys, now, ""
                self._outage.works()

    async def _discover(self) -> Endpoints:
        issuer = self._settings.issuer
        found = await self._object("GET", issuer.rstrip("/") + WELL_KNOWN)
        if found.get("issuer") != issuer:
            raise CannotProveError(f"it names itself {str(found.get('issuer'))[:200]!r}: access.oidc.issuer must be that, to the letter")
        keys = _url(found, "jwks_uri")
        return Endpoints(
            _url(found, "authorization_endpoint"),
            _url(found, "token_endpoint"),
            keys,
            _url(found, "device_authorization_endpoint") if "device_authorization_endpoint" in found else "",
        )

    async def _object(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        auth: httpx.BasicAuth | None = None,
        good: Sequence[int] = (200,),
    ) -> Mapping[str, object]:
        try:
            async with self._http.stream(method, url, data=dict(form) if form else None, auth=auth) as answer:
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MAX_BYTES:
                        raise CannotProveError(f"{url} answers more than {MAX_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CannotProveError(f"{url} does not answer: {error or type(error).__name__}") from error
        if answer.status_code not in good:
            raise CannotProveError(f"{url} answers {answer.status_code}")
        try:
            found = orjson.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CannotProveError(f"{url} does not answer a JSON object")
        return found


def _url(found: Mapping[str, object], name: str) -> str:
    """An endpoint: https, or on this machine. Raises CannotProveError."""
    url = found.get(name)
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))):
        raise CannotProveError(f"its {name} is {str(url)[:200]!r}, which is no https URL")
    return parts.geturl()


def _trust(settings: Oidc) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"access.oidc.ca_file: {settings.ca_file} holds no certificate in PEM: {error}"]) from error
