"""The model server's odd answers: every framing, size and failure that an HTTP/1.1 server can produce.

Numbers come in the query: /bytes?size=400000000&chunk=262144, /slow?chunks=20&seconds=0.1, /status?code=204.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import parse_qs

from collector.demo.http1 import Exchange
from collector.demo.websocket import echo_messages

BINARY = "application/octet-stream"
BODILESS = (204, 304)


def number(exchange: Exchange, name: str, default: float) -> float:
    """A number in the query."""
    return float(parse_qs(exchange.query).get(name, [str(default)])[0])


async def echo(exchange: Exchange) -> None:
    """The request's body comes back, piece by piece as it arrives, with its content type."""
    await exchange.go_on()
    await exchange.start(200, [("content-type", exchange.headers.get("content-type", BINARY))])
    async for chunk in exchange.chunks():
        await exchange.send(chunk)
    await exchange.end()


async def status(exchange: Exchange) -> None:
    """The status that `code` names, with a short body where one is allowed."""
    code = int(number(exchange, "code", 200))
    await exchange.body()
    if code in BODILESS:
        await exchange.start(code, [("etag", '"demo"')] if code == 304 else [])
        await exchange.end()
    else:
        await exchange.answer(code, f'{{"status":{code}}}'.encode(), "application/json")


async def large(exchange: Exchange) -> None:
    """`size` bytes in pieces of `chunk`, with a content-length."""
    size, step = int(number(exchange, "size", 1024)), int(number(exchange, "chunk", 1 << 18))
    await exchange.body()
    await exchange.start(200, [("content-type", BINARY), ("content-length", str(size))])
    for piece in _pieces(size, step):
        await exchange.send(piece)
    await exchange.end()


def _pieces(size: int, step: int) -> Iterator[bytes]:
    block = (bytes(range(256)) * (step // 256 + 1))[:step]
    yield from (block[: min(step, size - offset)] for offset in range(0, size, step))


async def chunked(exchange: Exchange) -> None:
    """A body without a length, and `trailers=1` adds trailers."""
    await exchange.body()
    await exchange.start(200, [("content-type", "text/plain")])
    for i in range(int(number(exchange, "chunks", 3))):
        await exchange.send(f"piece {i}\n".encode())
    await exchange.end([("x-checksum", "demo")] if number(exchange, "trailers", 0) else [])


async def slow(exchange: Exchange) -> None:
    """`chunks` pieces, `seconds` apart."""
    await exchange.body()
    await exchange.start(200, [("content-type", "text/plain")])
    for i in range(int(number(exchange, "chunks", 10))):
        await asyncio.sleep(number(exchange, "seconds", 0.1))
        await exchange.send(f"piece {i}\n".encode())
    await exchange.end()


async def hang(exchange: Exchange) -> None:
    """Reads the request and then says nothing for `seconds`."""
    await exchange.body()
    await asyncio.sleep(number(exchange, "seconds", 30))
    await exchange.answer(200, b"late", "text/plain")


async def reset(exchange: Exchange) -> None:
    """A TCP reset: after `sent` bytes of the answer, or before its head if `sent` is not given."""
    sent = int(number(exchange, "sent", -1))
    await exchange.body()
    if sent >= 0:
        await exchange.start(200, [("content-type", BINARY), ("content-length", "1000000")])
        await exchange.send(b"x" * sent)
        await asyncio.sleep(0.2)  # a reset overtakes what is still on its way
    exchange.reset()


async def early(exchange: Exchange) -> None:
    """An answer before the request's body has been read."""
    await exchange.answer(413, b"too much", "text/plain", [("connection", "close")])


async def websocket(exchange: Exchange) -> None:
    """An echo of WebSocket messages (RFC 6455)."""
    key = exchange.headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    upgrade = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept)]
    await echo_messages(*await exchange.tunnel(upgrade))


async def not_found(exchange: Exchange) -> None:
    await exchange.body()
    await exchange.answer(404, b'{"detail":"Not Found"}', "application/json")


ROUTES: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "/echo": echo,
    "/status": status,
    "/bytes": large,
    "/chunked": chunked,
    "/slow": slow,
    "/hang": hang,
    "/reset": reset,
    "/early": early,
    "/websocket": websocket,
}
