"""The process: signals, logging, memory, and an end in time. What it is made of is in roles/, one composition root for each role.

Sinks start first and sources last, but for the journal's listeners in role all (roles/all.py); sources stop first, then what they
received is drained, then sinks stop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from collector.clock import SystemClock
from collector.roles.parts import Addresses, Running, Starting
from collector.roles.phase import HARD_SECONDS, Phase
from collector.settings import Settings
from collector.tasks import cancel

log = logging.getLogger("meshscribe")


async def serve(settings: Settings, ready: Callable[[Addresses], None] | None = None) -> None:
    """Runs the collector until SIGTERM or SIGINT. Raises what keeps a part from working; then the process is to be restarted."""
    _log(settings.log.level)
    phase, stop = Phase(), asyncio.Event()
    _on_signals(phase, stop)
    async with AsyncExitStack() as stack, AsyncExitStack() as sources:
        starting = Starting(settings, SystemClock(), stack, _registry(), sources, phase)
        stopping = asyncio.create_task(stop.wait())
        start = asyncio.create_task(_start(starting))
        await asyncio.wait({stopping, start}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():  # it waits for a server that is not there
            await cancel(start)
            return
        task, addresses = start.result()
        gc.freeze()  # what lives as long as the process is not looked through again
        gc.set_threshold(50_000, 20, 50)  # the hot path makes no cycles
        if ready is not None:
            ready(addresses)
        await asyncio.wait({stopping, task}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            task.result()


def _start(starting: Starting) -> Coroutine[object, object, Running]:
    """Starts what the role has; the stacks stop it. A role's parts are loaded when it is the one: listeners do not wait for the others'."""
    role = starting.settings.role
    if role == "all" and starting.settings.journal.url:
        from collector.roles import both as root
    elif role == "all":
        from collector.roles import all as root  # type: ignore[no-redef]
    elif role == "receive":
        from collector.roles import receive as root  # type: ignore[no-redef]
    elif role == "process":
        from collector.roles import process as root  # type: ignore[no-redef]
    elif role == "store":
        from collector.roles import store as root  # type: ignore[no-redef]
    else:
        from collector.roles import audit as root  # type: ignore[no-redef]
    return root.start(starting)


def _log(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("alembic", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collect in (ProcessCollector, PlatformCollector, GCCollector):
        collect(registry=registry)
    return registry


def _on_signals(phase: Phase, stop: asyncio.Event) -> None:
    """The first one begins the end: readiness says so at once, and a thread sees to it that it comes."""

    def end() -> None:
        if not stop.is_set():
            log.info("stopping")
            phase.end()
            stop.set()
            hard = threading.Timer(HARD_SECONDS, _end_hard)
            hard.daemon = True
            hard.start()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)


def _end_hard() -> None:
    """Whatever hangs: a locked file, a server that is silent. What was acknowledged is in the journal, and the next start goes on there."""
    log.warning("ending although a part does not: what is not stored stays in the journal for the next start")
    sys.stderr.flush()
    os._exit(0)
