"""The server of the mix: it answers each request as its call was planned, and writes down what it told, by call and class.

Beside it an application that passes calls on to a model, as gateways of models and guardrails do. Copies that a mirror made are answered
like any other request, and owe nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import httpx

from collector.demo.http1 import Connection, Exchange
from tests.mesh.mix.planned import Answer, Call, Due

MARK = "x-mix"  # call and step, `17.0`
OWN = "x-own-id"  # asks the application in front for a request id of its own
_PASSED = ("content-type", "accept", "x-request-id", "traceparent", MARK)


class Server:
    """`calls` by number. `told`: what is due of each."""

    def __init__(self, calls: Mapping[int, Call]) -> None:
        self._calls = calls
        self.told: defaultdict[int, Due] = defaultdict(Counter)
        self._tries: Counter[str] = Counter()

    def planned(self, mark: str) -> tuple[int, Answer]:
        """The number of the call, and the answer that comes now."""
        call, step = map(int, mark.split("."))
        return call, self._calls[call].steps[step].answer

    async def answer(self, exchange: Exchange, left: Callable[[], Awaitable[object]]) -> None:
        """`left`: returns once the client has gone."""
        await exchange.body()
        mark = exchange.headers.get(MARK, "")
        if not mark:
            await exchange.answer(200, b"{}", "application/json")
            return
        call, planned = self.planned(mark)
        copied = exchange.headers["host"].endswith("-shadow")
        self._tries[mark] += not copied
        if self._tries[mark] <= planned.refused:
            await exchange.answer(503, b'{"error":{"message":"later","code":503}}', "application/json")
            return
        await exchange.start(planned.status, [("content-type", planned.kind), *planned.headers] if planned.pieces else [])
        for piece in planned.pieces:
            await exchange.send(piece)
            if planned.pause:
                await asyncio.sleep(planned.pause)
        if not copied:
            self.told[call] += planned.due
        if planned.then == "end":
            await exchange.end()
        elif planned.then == "hold":
            await left()

    def infer(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """gRPC's."""
        metadata = dict(context.invocation_metadata())
        call, planned = self.planned(str(metadata[MARK]))
        if not planned.pieces:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        self.told[call] += planned.due
        return planned.pieces[0]


@asynccontextmanager
async def serving(server: Server, port: int, grpc_port: int) -> AsyncIterator[None]:
    """While it runs it answers on these ports."""
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(server.infer)}
    over_grpc = grpc.server(ThreadPoolExecutor(4))
    over_grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    assert over_grpc.add_insecure_port(f"127.0.0.1:{grpc_port}") == grpc_port
    over_grpc.start()
    try:
        async with _listening(port, server.answer):
            yield
    finally:
        await asyncio.to_thread(over_grpc.stop(None).wait)


@asynccontextmanager
async def passing_on(port: int, upstream: int) -> AsyncIterator[None]:
    """An application on `port` that passes each request on to `upstream`, piece by piece."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream}", trust_env=False, timeout=60) as http:

        async def pass_on(exchange: Exchange, _: object) -> None:
            headers = {name: value for name, value in exchange.headers.items() if name in _PASSED}
            if OWN in exchange.headers:
                headers.pop("x-request-id", None)
            body = await exchange.body()
            async with http.stream(exchange.method, exchange.path, content=body, headers=headers) as answer:
                kept = [(name, value) for name, value in answer.headers.items() if name in ("content-type", "content-encoding")]
                await exchange.start(answer.status_code, kept)
                async for piece in answer.aiter_raw():
                    await exchange.send(piece)
                await exchange.end()

        async with _listening(port, pass_on):
            yield


@asynccontextmanager
async def _listening(port: int, answer: Callable[[Exchange, Callable[[], Awaitable[object]]], Awaitable[None]]) -> AsyncIterator[None]:
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def application(exchange: Exchange) -> None:
            await answer(exchange, reader.read)

        serving = asyncio.ensure_future(Connection(reader, writer).serve(application))
        connections[serving] = writer
        await serving
        del connections[serving]

    listener = await asyncio.start_server(connected, "127.0.0.1", port, backlog=256)
    try:
        yield
    finally:
        listener.close()
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*connections)
