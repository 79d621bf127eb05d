"""A receiver of CloudEvents on a bare socket that fails in six ways: what an HTTP framework never does, networks do."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from contextlib import suppress

from collector.demo.ports import Ports
from collector.relays.http_client import Client
from collector.relays.http_target import HttpTarget
from collector.relays.protocol import Feed
from collector.settings import Relay as RelaySettings
from tests.support.http_receiver import parse
from tests.support.kafka import unique
from tests.support.relays import BATCH_BYTES, CLOCK, HttpEnd, Origin

FAULTS = ("500", "503", "timeout", "reset", "cut", "slow")
TIMEOUT_SECONDS = 0.05  # of the relay
SLOW_SECONDS = 0.01
_ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
    "cut": b"HTTP/1.1 204 No Content\r\nx-cut: he",
}
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class FaultyReceiver:
    """`ids` of the events that it accepted, `met`: faults that lost an answer. One that is cut has taken its event all the same."""

    def __init__(self, share: float, chance: random.Random) -> None:
        self.ids: list[str] = []
        self.met = Counter[str]()
        self.requests_seen = 0
        self._share, self._chance = share, chance
        self._serving = set[asyncio.Task[None]]()
        self._ports = Ports()
        self.port = self._ports.take()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def close(self) -> None:
        await self.stop()
        self._ports.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        headers = dict(re.findall(r"([^\r\n:]+): ?([^\r\n]*)", head.decode("latin-1")))
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests_seen += 1
        fault = FAULTS[self.met.total() % len(FAULTS)] if self._chance.random() < self._share else ""
        self.met.update([fault] if fault else [])
        if fault == "reset":
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if fault == "timeout":
            await reader.read()  # until the relay gives up
            return False
        if fault in ("500", "503"):
            writer.write(_ANSWERS[fault])
            return True
        if fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)  # the fault itself
        self.ids += [event.get_id() for event in parse(headers, body)]
        writer.write(_ANSWERS["cut"] if fault == "cut" else _TAKEN)
        return fault != "cut"


class FaultyEnd(HttpEnd):
    """The end of a relay that is such a receiver."""

    receiver: FaultyReceiver  # type: ignore[assignment]

    def __init__(self, mode: str, share: float, chance: random.Random) -> None:
        self.mode, self.relay = mode, unique("r")
        self.receiver = FaultyReceiver(share, chance)

    def target(self, origin: Origin, feed: Feed) -> HttpTarget:
        settings = RelaySettings(name=self.relay, to="http", url=self.receiver.url, timeout_seconds=1)
        settings = settings.model_copy(update={"timeout_seconds": TIMEOUT_SECONDS})
        return HttpTarget(Client(settings), origin.places(feed, self.relay), CLOCK, mode=self.mode, batch=5, batch_bytes=BATCH_BYTES)

    async def lines(self) -> list[list[str]]:
        return [list(dict.fromkeys(self.receiver.ids))]

    async def data(self) -> dict[str, bytes]:
        raise NotImplementedError
