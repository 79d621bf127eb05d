"""HTTP servers inside the collector's own event loop: uvicorn without its signal handling, which belongs to the composition root, and with
bounds on what clients can hold of it (http/connections.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import uvicorn
from starlette.types import ASGIApp

from collector.errors import SettingsError
from collector.http.connections import BoundedProtocol, Bounds
from collector.tasks import cancel

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

GRACE_SECONDS = 5


class HttpServer:
    """One listener. `start` returns when it accepts connections. `count` is told why a connection was refused."""

    def __init__(self, name: str, app: ASGIApp, host: str, port: int, bounds: Bounds, count: Callable[[str], None]) -> None:
        self._name, self._host, self._port = name, host, port
        self._look_seconds = bounds.seconds / 10
        config = uvicorn.Config(
            cast("ASGI3Application", app),
            http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, bounds, count)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=75,
        )
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """The address as `host:port`. Raises SettingsError if it cannot be had."""
        try:
            listening = listen(self._host, self._port)
        except OSError as error:
            raise SettingsError([f"{self._name}: cannot listen on {self._host}:{self._port}: {error.strerror}"]) from error
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)
        self._watch = asyncio.create_task(self._refuse_late())
        host, port = listening.getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Takes no new connections, answers what is under way."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        if self._watch is not None:
            await cancel(self._watch)

    async def _refuse_late(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._look_seconds)
            now = loop.time()
            for connection in list(self._server.server_state.connections):
                cast(BoundedProtocol, connection).refuse_if_late(now)


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio switches Nagle off (an answer of two writes would wait 40 ms) only where it is.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
