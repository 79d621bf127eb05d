"""The audit port, and the port of its own that probes may have: whoever holds all connections of the one holds none of the other."""

from __future__ import annotations

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from collector.audit.probes import PATHS, OnlyProbes
from collector.http.connections import Bounds
from collector.http.servers import HttpServer
from collector.metrics import ListenerMetrics
from collector.settings import Audit

PROBE_CONNECTIONS = 32
RESERVE = 16  # connections beyond the bound, that are answered probes and leave at once for others while they ask for nothing


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
