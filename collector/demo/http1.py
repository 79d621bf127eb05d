"""The model server's HTTP/1.1: a connection loop over h11 in which an answer decides its own framing.

Framework servers choose the framing for the application; a model server that is to show what a tap makes of odd
answers must be able to send trailers, a body without a length, or half a body and a reset.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import cast

import h11

Headers = Sequence[tuple[str, str]]
READ_BYTES = 1 << 18


class Exchange:
    """One request and its answer. `request_digest` and `answer_digest` are SHA-256 of the body bytes that passed here."""

    def __init__(self, connection: Connection, request: h11.Request) -> None:
        self.method = request.method.decode()
        self.path, _, self.query = request.target.decode().partition("?")
        self.headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        self.request_digest, self.answer_digest = hashlib.sha256(), hashlib.sha256()
        self.request_size = self.answer_size = 0
        self.status = 0
        self._connection = connection

    async def chunks(self) -> AsyncIterator[bytes]:
        """The request body as it arrives. Sends 100 Continue if the client waits for it."""
        await self.go_on()
        while isinstance(event := await self._connection.next_event(), h11.Data):
            data = bytes(event.data)
            self.request_digest.update(data)
            self.request_size += len(data)
            yield data

    async def go_on(self) -> None:
        """Send 100 Continue if the client waits for it."""
        await self._connection.go_on()

    async def body(self) -> bytes:
        """The whole request body."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def start(self, status: int, headers: Headers = ()) -> None:
        """The head of the answer. With content-length the body has that framing, else it is chunked."""
        self.status = status
        await self._connection.send(h11.Response(status_code=status, headers=list(headers)))

    async def send(self, data: bytes) -> None:
        """A piece of the body: one chunk. Waits while the peer reads too slowly."""
        self.answer_digest.update(data)
        self.answer_size += len(data)
        await self._connection.send(h11.Data(data=data))

    async def end(self, trailers: Headers = ()) -> None:
        await self._connection.send(h11.EndOfMessage(headers=list(trailers)))

    async def answer(self, status: int, body: bytes, content_type: str, headers: Headers = ()) -> None:
        """A whole answer with a content-length; a HEAD gets the same head and no body."""
        await self.start(status, [("content-type", content_type), ("content-length", str(len(body))), *headers])
        if self.method != "HEAD":
            await self.send(body)
        await self.end()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self._connection.reset()

    async def tunnel(self, headers: Headers) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Answer 101 and hand over the bare connection."""
        self.status = 101
        return await self._connection.upgrade(headers)


Application = Callable[[Exchange], Awaitable[None]]


class Connection:
    """One connection; `serve` runs the application for one request after the other until either side ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
        self._open = True

    async def serve(self, application: Application) -> None:
        try:
            while self._open and isinstance(event := await self.next_event(), h11.Request):
                await application(Exchange(self, event))
                await self._rest()
        except (ConnectionError, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass  # the peer went away, or the application left its answer unfinished on purpose
        finally:
            self._writer.close()

    async def _rest(self) -> None:
        """Read what the application did not, then make ready for the next request."""
        while self._open and self._http.their_state is h11.SEND_BODY:
            await self.next_event()
        if self._open and self._http.our_state is self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self._open = False

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """Of the peer. Raises h11.RemoteProtocolError on what is not HTTP, or ends too early."""
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return cast("h11.Event | type[h11.PAUSED]", event)
            self._http.receive_data(await self._reader.read(READ_BYTES))

    async def go_on(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))

    async def send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    def reset(self) -> None:
        self._open = False
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def upgrade(self, headers: Headers) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._open = False
        await self.send(h11.InformationalResponse(status_code=101, headers=list(headers)))
        return self._reader, self._writer  # a client sends nothing before it has seen the 101
