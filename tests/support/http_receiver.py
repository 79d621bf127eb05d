"""A real HTTP receiver of CloudEvents, read by the CloudEvents SDK: what a relay's HTTP target sends to, with faults to order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastapi import FastAPI, Request, Response

from collector.dead_letters.events import BATCH_TYPE
from collector.demo.ports import Ports
from collector.http.connections import Bounds
from collector.http.servers import HttpServer


class Receiver:
    """`events` are those accepted, in order, repeats too. `answer`: status and headers of all answers while it is set."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.refused: set[str] = set()  # ids answered with 422
        self.answer: tuple[int, dict[str, str]] | None = None
        self.faults: Callable[[], int] = lambda: 0  # the status of the next answer in place of the right one; 0: the right one
        self.gate = asyncio.Event()  # closed: requests wait
        self.gate.set()
        self.entered = asyncio.Event()
        self._ports = Ports()
        self.port = self._ports.take()
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def ids(self) -> list[str]:
        return [event.get_id() for event in self.events]

    async def start(self) -> None:
        app = FastAPI(openapi_url=None)
        app.add_api_route("/events", self._take, methods=["POST"])
        self._server = HttpServer("receiver", app, "127.0.0.1", self.port, Bounds(100), lambda _: None)
        await self._server.start()

    async def stop(self) -> None:
        """Connections are refused until it is started again."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def close(self) -> None:
        self.gate.set()
        await self.stop()
        self._ports.close()

    async def _take(self, request: Request) -> Response:
        headers, body = dict(request.headers), await request.body()
        self.requests.append((headers, body))
        self.entered.set()
        await self.gate.wait()
        if self.answer is not None:
            return Response(status_code=self.answer[0], headers=self.answer[1])
        if fault := self.faults():
            return Response("by chance", status_code=fault)
        found = list(parse(headers, body))
        if any(event.get_id() in self.refused for event in found):
            return Response("not this one", status_code=422)
        self.events += found
        return Response(status_code=204)


def parse(headers: dict[str, str], body: bytes) -> Iterable[CloudEvent]:
    """The events of a request of any mode."""
    if headers["content-type"].startswith(BATCH_TYPE) if "content-type" in headers else False:
        for item in json.loads(body):
            yield JSONFormat().read(None, json.dumps(item).encode())
    else:
        yield from_http_event(HTTPMessage(headers, body), JSONFormat())
