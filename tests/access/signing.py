"""An OpenID Connect provider that a test turns: its keys, what it answers, whether it answers. What it signs it signs truly."""

from __future__ import annotations

import hashlib
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import BasicAuth, web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "meshscribe"


class ScriptedProvider:
    """On a port of 127.0.0.1."""

    def __init__(self) -> None:
        self.keys: list[RSAKey | ECKey] = [self.new_key("one")]
        self.asked: list[str] = []
        self.answers = True
        self.codes: dict[str, dict[str, Any]] = {}
        self.now: Callable[[], float] = time.time
        self.discovery: dict[str, Any] = {}
        self.issuer = ""
        self.port = 0
        self._runner: web.AppRunner | None = None

    @staticmethod
    @cache
    def new_key(kid: str) -> RSAKey:
        """The same for the same name in all tests: to find its primes takes longer than most tests."""
        return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})

    @property
    def key(self) -> RSAKey | ECKey:
        return self.keys[-1]

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]
        self.issuer = f"https://localhost:{self.port}" if tls is not None else f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if not self.answers:
            return web.Response(status=500)
        if request.path == "/token":
            return await self._redeem(request)
        if request.path == "/jwks":
            return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})
        names = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "jwks"}
        found = {"issuer": self.issuer} | {name: f"{self.issuer}/{path}" for name, path in names.items()}
        return web.json_response(found | self.discovery)

    def authorize(self, url: str, **claims: Any) -> dict[str, str]:
        """What the provider sends a browser back with that was sent to this URL, where somebody agrees."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked | {"claims": claims}
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    async def _redeem(self, request: web.Request) -> web.Response:
        """As RFC 6749 and 7636 have it: a code is good once, for whoever asked for it."""
        form = await request.post()
        asked = self.codes.pop(str(form["code"]), None)
        proven = urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=").decode()
        client = BasicAuth.decode(request.headers["Authorization"]).login if "Authorization" in request.headers else form["client_id"]
        if asked is None or (proven, form["redirect_uri"], client) != (asked["code_challenge"], asked["redirect_uri"], asked["client_id"]):
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = {"aud": asked["client_id"], "nonce": asked["nonce"]} | asked["claims"]
        return web.json_response({"id_token": self.token(self.now(), **claims), "access_token": "opaque", "token_type": "Bearer"})

    def token(self, now: float, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """Signed, and good but for what is changed: a claim that is None is left out."""
        whole = {"iss": self.issuer, "aud": AUDIENCE, "sub": "alice", "iat": int(now), "exp": int(now) + 300, "groups": ["auditors"]}
        told = {name: value for name, value in (whole | claims).items() if value is not None}
        heading = {"alg": "RS256", "kid": self.key.kid} | (header or {})
        kept = {name: value for name, value in heading.items() if value is not None}
        return jwt.encode(kept, told, key or self.key, algorithms=[str(heading["alg"])])
