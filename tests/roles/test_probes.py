"""Probes are answered whoever holds the audit port: the real listeners, with real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from collector.audit import probes
from collector.health import Component
from collector.http.servers import HttpServer
from collector.roles import probes as roles
from collector.settings import Audit

PROBES = ("/healthz", "/readyz", "/metrics")


class Parts:
    def __init__(self, *parts: Component) -> None:
        self.all = parts

    def components(self) -> tuple[Component, ...]:
        return self.all


def app(*parts: Component, held: asyncio.Event | None = None) -> FastAPI:
    made = FastAPI(openapi_url=None)
    made.include_router(probes.router(Parts(*parts), CollectorRegistry()))

    async def wait() -> int:
        if held is not None:
            await held.wait()
        return 1

    made.add_api_route("/v1/slow", wait, methods=["GET"])
    return made


@asynccontextmanager
async def listening(made: FastAPI, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, str]]:
    """The addresses of both ports: audit and probes."""
    addresses: dict[str, str] = {}
    start = HttpServer.start

    async def told(server: HttpServer) -> str:
        addresses[server._name] = await start(server)
        return addresses[server._name]

    monkeypatch.setattr(HttpServer, "start", told)
    async with AsyncExitStack() as stack:
        await roles.listen_audit(Audit(port=0, probe_port=0, max_connections=128), CollectorRegistry(), stack, made)
        yield addresses["audit.port"], addresses["audit.probe_port"]


async def idle(address: str, number: int, stack: AsyncExitStack, said: bytes = b"") -> None:
    host, _, port = address.rpartition(":")
    for _ in range(number):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        stack.callback(writer.close)


async def test_idle_connections_silence_no_probe_on_either_port(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(app(Component("sink", True)), monkeypatch) as addresses, AsyncExitStack() as stack:
        for address in addresses:
            await idle(address, 200, stack)
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            for address in addresses:
                for path in PROBES:
                    answer = await client.get(f"http://{address}{path}", headers={"connection": "close"})
                    assert answer.status_code == 200, (address, path)


async def test_requests_under_way_silence_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    held = asyncio.Event()
    async with listening(app(Component("sink", True), held=held), monkeypatch) as (audit, probe), AsyncExitStack() as stack:
        await idle(audit, 200, stack, b"GET /v1/slow HTTP/1.1\r\nhost: x\r\n\r\n")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            for address in (audit, probe):
                assert (await client.get(f"http://{address}/healthz")).status_code == 200
            assert (await client.get(f"http://{audit}/v1/slow")).status_code == 503
        held.set()


async def test_the_probe_port_answers_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(app(), monkeypatch) as (audit, probe), httpx.AsyncClient(trust_env=False, timeout=30) as client:
        assert (await client.get(f"http://{audit}/v1/slow")).status_code == 200
        answer = await client.get(f"http://{probe}/v1/slow")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_proxies_may_send_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    made = app(Component("ingest", True), Component("sink", False, "gone"))
    async with listening(made, monkeypatch) as addresses, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for address in addresses:
            assert (await client.get(f"http://{address}/readyz")).status_code == 503
            assert (await client.get(f"http://{address}/readyz/ingest")).status_code == 200
