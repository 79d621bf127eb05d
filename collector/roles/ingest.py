"""The listeners that proxies send to. They come as early as can be: what proxies log while nobody listens is lost (docs/restarts.md).

The access log's comes first: a proxy does not send its entries twice, a filter does its batches. What only the other one needs is loaded
meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from importlib import import_module

from collector.errors import SettingsError
from collector.metrics import AccessLogMetrics, AdmissionMetrics
from collector.receive import Appender
from collector.receive.access_log import AccessLogServer
from collector.receive.admission import Admission
from collector.receive.shares import Shares
from collector.roles.parts import Starting

log = logging.getLogger("meshscribe")

GRACE_SECONDS = 2.0


async def start_ingest(starting: Starting, journal: Appender) -> tuple[str, str]:
    """Both, before them a gate that shares out what may wait. Returns the addresses of tap and access log."""
    ingest = starting.settings.ingest
    if ingest.identity == "none":
        log.warning("ingest.identity is none: whoever reaches the ingest ports may report as any proxy (docs/install.md)")
    if not isinstance(journal, Admission):
        journal = Admission(journal, Shares(0, ingest.max_waiting_bytes), metrics=AdmissionMetrics(starting.registry))
    access_log = await start_access_log(starting, journal)
    tap = await start_tap(starting, journal)
    starting.phase.listening = True
    return tap, access_log


async def start_access_log(starting: Starting, journal: Appender) -> str:
    """The listener for access logs. Returns the address. Raises SettingsError when it cannot be had."""
    ingest = starting.settings.ingest
    server = AccessLogServer(journal, AccessLogMetrics(starting.registry), ingest)
    try:
        _try_to_bind(ingest.host, ingest.grpc_port)
        port = await server.start()
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError([f"ingest.grpc_port: cannot listen on {ingest.host}:{ingest.grpc_port}: {why}"]) from error
    starting.sources.push_async_callback(server.stop, GRACE_SECONDS)
    return f"{ingest.host}:{port}"


async def start_tap(starting: Starting, journal: Appender) -> str:
    """The listener for tap batches. Returns the address."""
    await asyncio.to_thread(import_module, "collector.roles.tap")
    from collector.roles.tap import start

    return await start(starting, journal)


def _try_to_bind(host: str, port: int) -> None:
    """Raises OSError, which says why; gRPC says where in its source, and that twice."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trying.bind((host, port))
