"""A small model server that really runs: `python -m collector.demo.model_server --port 0`.

It prints the port on its first line. It speaks the OpenAI chat API and KServe V1 and V2 (models.py) and other protocols (kinds.py), gives
every odd answer that a proxy meets (oddities.py), and remembers what it saw: GET /seen/ID tells sizes and SHA-256 of the bodies
of the last request with that x-request-id, so that a check can compare what was recorded with what was served.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from collector.demo import kinds, models, oddities
from collector.demo.http1 import Connection, Exchange

REMEMBERED = 20_000

Handler = Callable[[Exchange], Awaitable[None]]
ROUTES: dict[str, Handler] = {**models.ROUTES, **kinds.ROUTES, **oddities.ROUTES}


class ModelServer:
    """The application: routes a request and remembers the last REMEMBERED of them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, Exchange] = OrderedDict()

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.path.startswith("/seen/"):
            await self._tell(exchange)
            return
        self._remember(exchange)
        await self._route(exchange)(exchange)

    def _route(self, exchange: Exchange) -> Handler:
        best = max((prefix for prefix in ROUTES if exchange.path.startswith(prefix)), key=len, default=None)
        return oddities.not_found if best is None else ROUTES[best]

    def _remember(self, exchange: Exchange) -> None:
        self._seen[exchange.headers.get("x-request-id", "")] = exchange
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    async def _tell(self, exchange: Exchange) -> None:
        seen = self._seen.get(exchange.path.removeprefix("/seen/"))
        status, told = (404, {}) if seen is None else (200, _account(seen))
        await exchange.answer(status, json.dumps(told).encode(), "application/json")


def _account(seen: Exchange) -> dict[str, str | int]:
    return {
        "method": seen.method,
        "path": seen.path,
        "status": seen.status,
        "request_size": seen.request_size,
        "request_sha256": seen.request_digest.hexdigest(),
        "answer_size": seen.answer_size,
        "answer_sha256": seen.answer_digest.hexdigest(),
    }


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until cancelled. Port 0 takes a free one."""
    application = ModelServer()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(reader, writer).serve(application)

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo's model server.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port; it is printed")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
