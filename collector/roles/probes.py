"""The audit port: /healthz, /readyz and /metrics from the first moment, and the audit API as long as there is one.

Probes may have a port of their own: whoever holds all connections of the one holds none of the other.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.audit import probes
from collector.audit.probes import PATHS, OnlyProbes
from collector.health import Health
from collector.http.connections import Bounds
from collector.http.servers import HttpServer
from collector.metrics import ListenerMetrics
from collector.receive.problem import answer_with_problems, problem
from collector.roles.parts import Starting
from collector.roles.phase import PhasedHealth
from collector.settings import Audit

PROBE_CONNECTIONS = 32
RESERVE = 16  # connections beyond the bound, that are answered probes and leave at once for others while they ask for nothing
NOT_HERE = "the process is starting or stopping: the audit API is not here"


async def listen_audit(audit: Audit, registry: CollectorRegistry, stack: AsyncExitStack, app: ASGIApp) -> str:
    """Both listeners, with this app on the audit port, until the stack ends. Returns that port's address."""
    reserved = frozenset(path.encode() for path in PATHS)
    if audit.probe_port is not None:
        bounds = Bounds(PROBE_CONNECTIONS, seconds=10.0, reserve=RESERVE, reserved=reserved)
        refused = ListenerMetrics(registry, "probe").refused
        probe = HttpServer("audit.probe_port", OnlyProbes(app), audit.host, audit.probe_port, bounds, refused)
        await probe.start()
        stack.push_async_callback(probe.stop)
    bounds = Bounds(audit.max_connections, reserve=RESERVE, reserved=reserved)
    server = HttpServer("audit.port", app, audit.host, audit.port, bounds, ListenerMetrics(registry, "audit").refused)
    address = await server.start()
    stack.push_async_callback(server.stop)
    return address


class Front:
    """The app on the audit port: probes alone, until `show` and after `hide`."""

    def __init__(self, address: str, only_probes: ASGIApp) -> None:
        self.address = address
        self._only_probes = self._app = only_probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def show(self, app: ASGIApp) -> None:
        """From now on this one answers."""
        self._app = app

    def hide(self) -> None:
        """Again the probes alone: what the API stands on is about to close."""
        self._app = self._only_probes


async def start_probes(starting: Starting, health: Health) -> str:
    """For a role without the audit API. Returns the address."""
    return (await _start(starting, _app(starting, health))).address


async def start_front(starting: Starting, health: Health) -> Front:
    """For a role that will have the audit API; until then whoever asks for more than probes hears what is waited for."""
    app = _app(starting, health)

    async def not_here(_: Request) -> Response:
        waits = [f"{part.name}: {part.detail}" for part in health.components() if not part.ok and part.detail not in ("", "starting")]
        return problem(503, "; ".join([NOT_HERE, *waits]), {"retry-after": "1"})

    app.add_route("/{path:path}", not_here, methods=["GET", "HEAD", "POST"], include_in_schema=False)
    return await _start(starting, app)


def _app(starting: Starting, health: Health) -> FastAPI:
    app = FastAPI(title="Meshscribe", openapi_url=None, redirect_slashes=False)
    app.include_router(probes.router(PhasedHealth(health, starting.phase), starting.registry))
    answer_with_problems(app)
    return app


async def _start(starting: Starting, app: FastAPI) -> Front:
    front = Front("", app)
    front.address = await listen_audit(starting.settings.audit, starting.registry, starting.stack, front)
    return front
