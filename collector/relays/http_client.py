"""The HTTP client of a relay: one connection that is kept, more while requests are repeated, TLS as the settings say, a token that may be
rotated. The time limit is that of a whole request: who answers a byte now and then does not answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import httpx

from collector.errors import RetryableError, SettingsError
from collector.relays.repeats import COPIES
from collector.settings import Relay


class Client:
    """POST requests to one URL. Raises SettingsError: files of TLS that do not fit."""

    def __init__(self, settings: Relay) -> None:
        self.url = str(httpx.URL(settings.url).copy_with(username=None, password=None))  # for messages
        self._settings = settings
        self._fixed = [(name.encode(), value.get_secret_value().encode()) for name, value in settings.headers.items()]
        self._http = httpx.AsyncClient(
            verify=_context(settings),
            timeout=None,
            limits=httpx.Limits(max_connections=COPIES, max_keepalive_connections=1),
            follow_redirects=False,
        )

    async def post(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> httpx.Response:
        """The answer, whatever it says. Raises RetryableError: there is none."""
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._http.post(self._settings.url, content=body, headers=[*headers, *self._fixed, *self._token()])
        except TimeoutError as error:
            raise RetryableError(f"{self.url}: no answer within {seconds:g} s (timeout_seconds)") from error
        except httpx.HTTPError as error:
            raise RetryableError(f"{self.url}: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        """Ends the connection."""
        await self._http.aclose()

    def _token(self) -> list[tuple[bytes, bytes]]:
        settings = self._settings
        try:
            token = settings.token_file.read_text(encoding="utf-8").strip() if settings.token_file is not None else ""
        except (OSError, UnicodeDecodeError) as error:
            raise RetryableError(f"relay {settings.name}: token_file: {error}") from error
        token = token or (settings.token.get_secret_value() if settings.token is not None else "")
        return [(b"authorization", b"Bearer " + token.encode())] if token else []


def _context(settings: Relay) -> ssl.SSLContext:
    where = f"relays.{settings.name}"
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"{where}.tls_ca_file: {settings.tls_ca_file} holds no certificate in PEM: {error}"]) from error
    if settings.tls_certificate_file is not None:
        try:
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError([f"{where}.tls_certificate_file: certificate and key do not fit or cannot be read: {error}"]) from error
    return context
