"""Posts batches over keep-alive connections, several ahead of their answers, cheaply."""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple, cast

import zstandard

AHEAD = 8  # the listener takes 16
RETRY_SECONDS = 0.1
NO_ANSWER = 0  # as a status


class Post(NamedTuple):
    """A request's body as it goes over the wire."""

    body: bytes
    encoding: str = ""

    @property
    def wire(self) -> bytes:
        encoding = f"content-encoding: {self.encoding}\r\n" if self.encoding else ""
        head = "POST /v1/tap HTTP/1.1\r\nhost: c\r\ncontent-type: application/x-protobuf\r\n"
        return f"{head}{encoding}content-length: {len(self.body)}\r\n\r\n".encode() + self.body


_ZSTD = zstandard.ZstdCompressor(level=1)


def encoded(payload: bytes, chance: Random) -> Post:
    """As it is, compressed, or under a coding that it does not have."""
    kind = chance.random()
    if kind < 0.7:
        return Post(payload)
    if kind < 0.8:
        return Post(gzip.compress(payload, 1, mtime=0), "gzip")
    if kind < 0.9:
        return Post(_ZSTD.compress(payload), "zstd")
    if kind < 0.95:
        packed = gzip.compress(payload, 1, mtime=0)
        return Post(packed[: chance.randrange(len(packed))] + chance.choice((b"", b"\0")), "gzip")
    return Post(payload, chance.choice(("gzip", "zstd", "identity", "br", "GZIP ", "x" * 90)))


class Connection(asyncio.Protocol):
    """One connection, made anew whenever it breaks. `answered` is told the status of each post; NO_ANSWER if there was none."""

    def __init__(self, port: int, answered: Callable[[Post, int], None], ahead: int = AHEAD) -> None:
        self._port, self._answered, self._ahead = port, answered, ahead
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Post] = deque()
        self._data = b""
        self._room = asyncio.Event()
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, post: Post) -> None:
        """Returns when it is on its way."""
        while not self.connected or len(self._waiting) >= self._ahead:
            if not self.connected:
                await self._connect()
            else:
                self._room.clear()
                await self._room.wait()
        self._waiting.append(post)
        assert self._transport is not None
        self._transport.write(post.wire)

    async def idle(self) -> None:
        """Returns when all is answered."""
        while self._waiting:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            await asyncio.sleep(RETRY_SECONDS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._data = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        at = 0
        while (head := data.find(b"\r\n\r\n", at)) >= 0:
            length = data.find(b"content-length: ", at, head)
            end = head + 4 + (int(data[length + 16 : data.find(b"\r\n", length)]) if length >= 0 else 0)
            if len(data) < end:
                break
            status, at = int(data[at + 9 : at + 12]), end
            if self._waiting:
                self._answered(self._waiting.popleft(), status)
        self._data = data[at:]
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self._waiting:
            self._answered(self._waiting.popleft(), NO_ANSWER)
        self._room.set()
