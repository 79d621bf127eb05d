"""Compresses answers for clients that ask for it: zstd, else gzip.

Not the stored bodies, which are sent as they passed (`no-transform`), nor events, which must come at once, nor what another site's page
asked for: where a page that an attacker wrote makes a browser ask again and again, the length of a compressed answer could tell him of it
(BREACH). Long answers are compressed piece by piece, beside the event loop.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Protocol

import zstandard
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST = 1024  # bytes: less is not worth it
ASIDE = 64 << 10  # bytes: more is compressed in a thread
KINDS = frozenset(f"application/{kind}" for kind in ("json", "problem+json", "x-ndjson", "cloudevents-batch+json")) | frozenset(
    f"text/{kind}" for kind in ("csv", "html", "javascript", "css", "plain")
)
GZIP = 16 + zlib.MAX_WBITS
LEVEL = {"gzip": 4, "zstd": 3}


class Packer(Protocol):
    """A compressor of one answer."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Compressed:
    """Stands around the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        coding = wanted(headers.get("accept-encoding", ""))
        if coding is None or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            await self.app(scope, receive, _varying(send))
        else:
            await self.app(scope, receive, _Answer(send, coding).send)


def wanted(accepted: str) -> str | None:
    """Of the codings that are accepted (RFC 9110, 12.5.3) the one that is liked best: of two liked equally, zstd."""
    liked: dict[str, float] = {}
    for one in accepted.lower().split(","):
        name, _, parameter = one.partition(";")
        value = parameter.strip().removeprefix("q=") or "1"
        try:
            liked[name.strip()] = float(value)
        except ValueError:
            return None
    every = liked.get("*", 0.0)
    found = {name: liked.get(name, every) for name in ("zstd", "gzip")}
    best = max(found, key=found.__getitem__)
    return best if found[best] > 0 and found[best] >= liked.get("identity", 0.0) else None


def _may_be(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return kind in KINDS and "content-encoding" not in headers and "no-transform" not in headers.get("cache-control", "")


def _varying(send: Send) -> Send:
    """Says that others may be answered otherwise."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and _may_be(Headers(raw=message["headers"])):
            MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
        await send(message)

    return told


class _Answer:
    """One answer. Its start is held back until its first piece tells whether it is worth it."""

    def __init__(self, send: Send, coding: str) -> None:
        self._send, self._coding = send, coding
        self._start: Message | None = None
        self._packer: Packer | None = None

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            if message["status"] != 304 and _may_be(Headers(raw=message["headers"])):
                self._start = message
                return
        elif message["type"] == "http.response.body":
            message = await self._piece(message)
        await self._send(message)

    async def _piece(self, message: Message) -> Message:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            headers = MutableHeaders(scope=start)
            headers.add_vary_header("Accept-Encoding")
            if more or len(body) >= SMALLEST:
                self._packer = _packer(self._coding)
                headers["Content-Encoding"] = self._coding
                del headers["content-length"]
                if "etag" in headers and not headers["etag"].startswith("W/"):
                    headers["ETag"] = f"W/{headers['etag']}"  # the same content in other bytes
            await self._send(start)
        if self._packer is None:
            return message
        packed = await asyncio.to_thread(self._pack, body, more) if len(body) > ASIDE else self._pack(body, more)
        return {"type": "http.response.body", "body": packed, "more_body": more}

    def _pack(self, body: bytes, more: bool) -> bytes:
        assert self._packer is not None
        return self._packer.compress(body) + (b"" if more else self._packer.flush())


def _packer(coding: str) -> Packer:
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=LEVEL["zstd"]).compressobj()
    return zlib.compressobj(LEVEL["gzip"], zlib.DEFLATED, GZIP)
