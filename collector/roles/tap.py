"""The listener for tap batches: with it comes the web framework."""

from __future__ import annotations

from collector.http.connections import Bounds
from collector.http.servers import HttpServer
from collector.metrics import ListenerMetrics, TapMetrics
from collector.receive import Appender
from collector.receive.tap import create_ingest_app
from collector.roles.parts import Starting


async def start(starting: Starting, journal: Appender) -> str:
    """Listens. Returns the address. Raises SettingsError when it cannot be had."""
    ingest, refused = starting.settings.ingest, ListenerMetrics(starting.registry, "ingest").refused
    app = create_ingest_app(journal, TapMetrics(starting.registry), ingest)
    server = HttpServer("ingest.port", app, ingest.host, ingest.port, Bounds(ingest.max_connections), refused)
    address = await server.start()
    starting.sources.push_async_callback(server.stop)
    return address
