"""What clients can hold of a listener, with real sockets: too many, too slow, too large, too fast."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from fastapi import FastAPI, Request

from collector.http.connections import AHEAD, IDLE, TOO_LARGE, TOO_MANY, TOO_SLOW, Bounds
from collector.http.servers import HttpServer
from tests.support.waits import until_holds

GET = b"GET /size HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = b"POST /size HTTP/1.1\r\nhost: x\r\n"
FOREVER = 3600.0


class Listener:
    """A server whose one route says how long the body is, and what it refused."""

    def __init__(self, bounds: Bounds) -> None:
        self.refused: Counter[str] = Counter()
        self.address = ("", 0)
        self.busy = False
        app = FastAPI(openapi_url=None)
        app.add_api_route("/size", self._size, methods=["GET", "POST"])
        self.server = HttpServer("test", app, "127.0.0.1", 0, bounds, lambda reason: self.refused.update([reason]))

    async def _size(self, request: Request) -> int:
        self.busy = True
        return len(await request.body())

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


class Client:
    """A connection that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await self._reader.readexactly(length)

    async def closed(self) -> None:
        """Waits until the server has closed it."""
        with contextlib.suppress(ConnectionResetError):  # it closed with bytes of ours unread
            await self._reader.read()


@asynccontextmanager
async def listening(bounds: Bounds) -> AsyncIterator[Listener]:
    listener = Listener(bounds)
    host, _, port = (await listener.server.start()).rpartition(":")
    listener.address = (host, int(port))
    try:
        yield listener
    finally:
        await listener.server.stop()


async def test_one_connection_too_many_is_answered_503_and_the_others_live() -> None:
    async with listening(Bounds(3, seconds=FOREVER)) as listener, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(listener.client()) for _ in range(3)]
        for client in clients:
            client.send(GET)
            assert await client.answer() == (200, b"0")
        async with listener.client() as one_more:
            status, body = await one_more.answer()
            assert (status, json.loads(body)["status"]) == (503, 503)
            await one_more.closed()
        assert listener.refused == {TOO_MANY: 1}
        clients[0].send(GET)
        assert await clients[0].answer() == (200, b"0")


async def test_for_one_more_the_longest_idle_makes_room() -> None:
    async with listening(Bounds(3, seconds=FOREVER, idle_seconds=0.0)) as listener, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(listener.client()) for _ in range(3)]
        for client in (clients[1], clients[2], clients[0]):
            client.send(GET)
            assert await client.answer() == (200, b"0")
        async with listener.client() as one_more:
            one_more.send(GET)
            assert await one_more.answer() == (200, b"0")
            await clients[1].closed()
        assert listener.refused == {IDLE: 1}
        for client in (clients[2], clients[0]):
            client.send(GET)
            assert await client.answer() == (200, b"0")


async def test_who_is_being_answered_makes_no_room() -> None:
    async with listening(Bounds(1, seconds=FOREVER, idle_seconds=0.0)) as listener, listener.client() as busy:
        busy.send(HEAD + b"content-length: 2\r\n\r\nx")
        await until_holds(lambda: listener.busy)
        async with listener.client() as one_more:
            assert (await one_more.answer())[0] == 503
        busy.send(b"y")
        assert await busy.answer() == (200, b"2")


async def test_probes_are_answered_beyond_the_bound_and_nothing_else_is() -> None:
    bounds = Bounds(2, seconds=FOREVER, reserve=3, reserved=frozenset({b"/size"}))
    async with listening(bounds) as listener, AsyncExitStack() as stack:
        for _ in range(2 + 3 + 20):  # those of the reserve that ask for nothing leave for others at once
            await stack.enter_async_context(listener.client())
        async with listener.client() as probe, listener.client() as curious:
            probe.send(GET)
            assert await probe.answer() == (200, b"0")
            curious.send(GET.replace(b"/size", b"/v1"))
            assert (await curious.answer())[0] == 503
            await curious.closed()
    assert listener.refused[TOO_MANY] == 1


async def test_a_connection_that_ends_makes_room() -> None:
    async with listening(Bounds(1, seconds=FOREVER)) as listener:
        for _ in range(5):
            async with listener.client() as client:
                client.send(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
                assert await client.answer() == (200, b"0")
                await client.closed()
        assert not listener.refused


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /si",
        HEAD + b"x-slow: lor",
        HEAD + b"content-length: 10\r\n\r\n12345",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nx-trailer: ",
    ],
    ids=["nothing", "line", "header", "body", "trailer"],
)
async def test_a_request_that_does_not_come_to_its_end_is_ended(said: bytes) -> None:
    async with listening(Bounds(10, seconds=0.2)) as listener, listener.client() as client:
        client.send(said)
        await client.closed()
        assert listener.refused == {TOO_SLOW: 1}


async def test_a_client_that_never_asked_is_told_408() -> None:
    async with listening(Bounds(10, seconds=0.2)) as listener, listener.client() as client:
        assert (await client.answer())[0] == 408
        await client.closed()


async def test_blank_lines_after_a_request_do_not_hold_a_connection() -> None:
    async with listening(Bounds(10, seconds=0.2)) as listener, listener.client() as client:
        client.send(GET)
        assert await client.answer() == (200, b"0")
        client.send(b"\r\n")
        assert (await client.answer())[0] == 408
        assert listener.refused == {TOO_SLOW: 1}


async def test_a_connection_that_rests_between_requests_is_left_alone() -> None:
    async with listening(Bounds(10, seconds=0.5)) as listener, listener.client() as client:
        client.send(GET)
        assert await client.answer() == (200, b"0")
        async with listener.client() as other:  # its end shows that the time is over
            assert (await other.answer())[0] == 408
        client.send(GET)
        assert await client.answer() == (200, b"0")
        assert listener.refused == {TOO_SLOW: 1}


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        HEAD + b"x-long: ",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nx-trailer: ",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5;extension=",
    ],
    ids=["line", "header", "trailer", "chunk extension"],
)
async def test_heads_and_trailers_without_an_end_are_refused(start: bytes) -> None:
    async with listening(Bounds(10, seconds=FOREVER)) as listener, listener.client() as client:
        client.send(start)
        sender = asyncio.create_task(_send_on(client))
        await client.closed()
        sender.cancel()
        await asyncio.wait({sender})
        assert listener.refused == {TOO_LARGE: 1}


async def _send_on(client: Client) -> None:
    while True:
        client.send(b"x" * 4096)
        await asyncio.sleep(0)


async def test_many_short_headers_are_refused_as_one_long_one_is() -> None:
    async with listening(Bounds(10, seconds=FOREVER)) as listener, listener.client() as client:
        client.send(HEAD)
        while not listener.refused:
            client.send(b"a: b\r\n" * 500)
            await asyncio.sleep(0)
        assert listener.refused == {TOO_LARGE: 1}


async def test_a_large_body_is_no_large_head() -> None:
    async with listening(Bounds(10, seconds=FOREVER)) as listener, listener.client() as client:
        client.send(HEAD + b"content-length: 3000000\r\n\r\n")
        for _ in range(300):
            client.send(b"x" * 10_000)
            await asyncio.sleep(0)
        assert await client.answer() == (200, b"3000000")


async def test_a_few_requests_may_be_ahead_of_their_answers_and_no_more() -> None:
    async with listening(Bounds(10, seconds=FOREVER)) as listener:
        async with listener.client() as patient:
            patient.send(GET * AHEAD)
            for _ in range(AHEAD):
                assert await patient.answer() == (200, b"0")
        async with listener.client() as greedy:
            greedy.send(GET * 5000)
            await greedy.closed()
        async with listener.client() as other:
            other.send(GET)
            assert await other.answer() == (200, b"0")
