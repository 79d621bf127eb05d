"""What all roles have: addresses, limits, health, the listener for probes, patience with a Kafka that is not up yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple, TypeVar

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from collector.audit import probes
from collector.cancelled import cancel
from collector.clock import Clock
from collector.connections import Bounds
from collector.correlate import Limits
from collector.dead_letters.burials import Burials
from collector.dead_letters.open import open_letters
from collector.dead_letters.sql import SqlDeadLetters
from collector.errors import RetryableError, SettingsError
from collector.health import Component, Health
from collector.metrics import AccessLogMetrics, AdmissionMetrics, DeadLetterMetrics, ListenerMetrics, TapMetrics
from collector.receive import Appender
from collector.receive.access_log import AccessLogServer
from collector.receive.admission import Admission
from collector.receive.problem import answer_with_problems
from collector.receive.shares import Shares
from collector.receive.tap import create_ingest_app
from collector.roles.listen_audit import listen_audit
from collector.servers import HttpServer
from collector.settings import Settings

T = TypeVar("T")

log = logging.getLogger("meshscribe")

GRACE_SECONDS = 2.0
RETRY_SECONDS = 1.0
LOOK_SECONDS, LOOK_TOPIC_SECONDS = 10.0, 300.0


class Addresses(NamedTuple):
    """Where the listeners are, as `host:port`; empty for those that the role does not have."""

    tap: str = ""
    access_log: str = ""
    audit: str = ""


class Running(NamedTuple):
    """What starting a role gives: a task that ends only if the role cannot go on, and the addresses."""

    task: asyncio.Task[None]
    addresses: Addresses


class Starting(NamedTuple):
    """What every role is started with. The stack stops the parts in the opposite order."""

    settings: Settings
    clock: Clock
    stack: AsyncExitStack
    registry: CollectorRegistry


class RoleHealth:
    """A Health that parts are added to as they start."""

    def __init__(self) -> None:
        self.parts: list[Callable[[], Sequence[Component]]] = []

    def components(self) -> Sequence[Component]:
        """See health.Health. Nothing is ready before the first part is there."""
        found = [component for part in self.parts for component in part()]
        return found or [Component("role", False, "starting")]


def limits(settings: Settings) -> Limits:
    """The correlator's limits from the settings."""
    correlate = settings.correlate
    return Limits(
        expects_tap=correlate.expect != "access_log",
        expects_access_log=correlate.expect != "tap",
        linger_us=microseconds(correlate.linger_seconds),
        idle_us=microseconds(correlate.idle_seconds),
        late_us=microseconds(correlate.late_seconds),
        open_bytes=correlate.open_bytes,
        late_bytes=correlate.late_bytes,
        closed_keys=correlate.closed_keys,
        ledger_us=microseconds(correlate.ledger_seconds),
        skips_probes=not settings.services.probes,
        tap_label=correlate.tap_label,
    )


def microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def start_burials(starting: Starting) -> Burials:
    """What counts the pipeline's dead letters, and looks now and then at those that are there: a topic has to be read as a whole for it."""
    settings, _, stack, registry = starting
    burials, letters = Burials(), open_letters(settings)
    DeadLetterMetrics(registry, burials)
    looking = asyncio.create_task(burials.look(letters, LOOK_SECONDS if isinstance(letters, SqlDeadLetters) else LOOK_TOPIC_SECONDS))
    stack.push_async_callback(letters.close)
    stack.push_async_callback(cancel, looking)
    return burials


async def start_probes(starting: Starting, health: Health) -> str:
    """/healthz, /readyz and /metrics on the audit port, for a role without the audit API. Returns the address."""
    app = FastAPI(title="Meshscribe", openapi_url=None, redirect_slashes=False)
    app.include_router(probes.router(health, starting.registry))
    answer_with_problems(app)
    return await start_audit(starting, app)


async def start_audit(starting: Starting, app: FastAPI) -> str:
    """The app on the audit port. Returns the address."""
    return await listen_audit(starting.settings.audit, starting.registry, starting.stack, app)


async def start_ingest(starting: Starting, journal: Appender) -> tuple[str, str]:
    """The listeners that proxies send to, before them a gate that shares out what may wait. Returns the addresses of tap and access log."""
    ingest = starting.settings.ingest
    if ingest.identity == "none":
        log.warning("ingest.identity is none: whoever reaches the ingest ports may report as any proxy (docs/install.md)")
    if not isinstance(journal, Admission):
        journal = Admission(journal, Shares(0, ingest.max_waiting_bytes), metrics=AdmissionMetrics(starting.registry))
    access_log = AccessLogServer(journal, AccessLogMetrics(starting.registry), ingest)
    try:
        port = await access_log.start()
    except RuntimeError as error:
        raise SettingsError([f"ingest.grpc_port: cannot listen on {ingest.host}:{ingest.grpc_port}: {error}"]) from error
    starting.stack.push_async_callback(access_log.stop, GRACE_SECONDS)
    return await start_tap(starting, journal), f"{ingest.host}:{port}"


async def start_tap(starting: Starting, journal: Appender) -> str:
    """The listener for tap batches. Returns the address."""
    ingest, refused = starting.settings.ingest, ListenerMetrics(starting.registry, "ingest").refused
    app = create_ingest_app(journal, TapMetrics(starting.registry), ingest)
    server = HttpServer("ingest.port", app, ingest.host, ingest.port, Bounds(ingest.max_connections), refused)
    address = await server.start()
    starting.stack.push_async_callback(server.stop)
    return address


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Until it works: what is asked for may start after us."""
    told = ""
    while True:
        try:
            return await attempt()
        except RetryableError as error:
            if str(error) != told:
                log.warning("waiting: %s", error)
            told = str(error)
            await asyncio.sleep(RETRY_SECONDS)
