"""The composition root: builds every part once, starts sinks first and sources last, stops sources first, drains, then sinks."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from collector.audit.app import create_app
from collector.clock import Clock, SystemClock
from collector.correlate import Correlator, Limits
from collector.directory import Directory
from collector.errors import SettingsError
from collector.health import Component
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.meaning import ExchangeMeaning
from collector.metrics import AccessLogMetrics, JournalMetrics, PipelineMetrics, TapMetrics
from collector.pipeline import Pipeline
from collector.receive.access_log import AccessLogServer
from collector.receive.tap import create_ingest_app
from collector.servers import HttpServer
from collector.settings import Settings
from collector.sinks.open import open_engine, open_expiry, open_sink, prepare
from collector.sinks.retention import Retention

log = logging.getLogger("meshscribe")

DRAIN_SECONDS = 10.0
GRACE_SECONDS = 2.0


class Addresses(NamedTuple):
    """Where the listeners are, as `host:port`."""

    tap: str
    access_log: str
    audit: str


async def serve(settings: Settings, ready: Callable[[Addresses], None] | None = None) -> None:
    """Runs the collector until SIGTERM or SIGINT. Raises what keeps a part from working; then the process is to be restarted."""
    logging.basicConfig(level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("alembic", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        pipeline, addresses = await _start(settings, SystemClock(), stack)
        gc.freeze()  # what lives as long as the process is not looked through again
        gc.set_threshold(50_000, 20, 50)  # the hot path makes no cycles
        if ready is not None:
            ready(addresses)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, pipeline}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if pipeline.done():
            pipeline.result()
        log.info("stopping")


async def _start(settings: Settings, clock: Clock, stack: AsyncExitStack) -> tuple[asyncio.Task[None], Addresses]:
    """Starts every part; the stack stops them in the opposite order."""
    registry = CollectorRegistry()
    for collect in (ProcessCollector, PlatformCollector, GCCollector):
        collect(registry=registry)
    await prepare(settings.sink)
    engine = open_engine(settings.sink)
    stack.push_async_callback(engine.dispose)
    sink = open_sink(settings.sink, clock)
    stack.push_async_callback(sink.close)
    if settings.sink.retention_days is not None:
        retention = asyncio.create_task(Retention(open_expiry(settings.sink), settings.sink.retention_days, clock).run())
        stack.push_async_callback(_cancelled, retention)
    journal = await open_journal(settings.journal, clock, settings.ingest.max_waiting_bytes)
    stack.push_async_callback(journal.close)
    JournalMetrics(registry, journal)

    directory = Directory(settings.services, engine, clock)
    await directory.start()
    stack.push_async_callback(directory.stop)
    correlator = Correlator(limits(settings))
    pipeline = Pipeline(
        journal,
        sink,
        correlator,
        ExchangeMeaning(directory.catalogue),
        clock,
        batch=settings.sink.batch_exchanges,
        checkpoint_us=_us(settings.journal.checkpoint_seconds),
        checkpoint_bytes=settings.journal.checkpoint_bytes,
    )
    PipelineMetrics(registry, pipeline, correlator)
    task = asyncio.create_task(pipeline.run())
    stack.push_async_callback(_drain, pipeline, journal, task)

    health = CollectorHealth(journal, pipeline, task, directory)
    auditing = HttpServer(
        "audit.port", create_app(engine, health, registry, settings.audit, clock, directory), settings.audit.host, settings.audit.port
    )
    audit_address = await auditing.start()
    stack.push_async_callback(auditing.stop)
    access_log = AccessLogServer(journal, AccessLogMetrics(registry), settings.ingest)
    try:
        grpc_port = await access_log.start()
    except RuntimeError as error:
        raise SettingsError([f"ingest.grpc_port: cannot listen on {settings.ingest.host}:{settings.ingest.grpc_port}: {error}"]) from error
    stack.push_async_callback(access_log.stop, GRACE_SECONDS)
    tap = HttpServer(
        "ingest.port", create_ingest_app(journal, TapMetrics(registry), settings.ingest), settings.ingest.host, settings.ingest.port
    )
    tap_address = await tap.start()
    stack.push_async_callback(tap.stop)
    health.listening = True
    return task, Addresses(tap_address, f"{settings.ingest.host}:{grpc_port}", audit_address)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _drain(pipeline: Pipeline, journal: SqliteJournal, task: asyncio.Task[None]) -> None:
    """What was received is stored, if the sink takes it in time; the rest stays in the journal."""
    if not task.done():
        if not await pipeline.drained(journal.last_position, DRAIN_SECONDS):
            log.warning("stopped before all was stored: the journal keeps the rest for the next start")
        task.cancel()
    await asyncio.wait({task})


class CollectorHealth:
    """The parts that must work, for /readyz."""

    def __init__(self, journal: SqliteJournal, pipeline: Pipeline, task: asyncio.Task[None], directory: Directory) -> None:
        self._journal, self._pipeline, self._task, self._directory = journal, pipeline, task, directory
        self.listening = False

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        used = self._journal.kept_bytes / self._journal.quota_bytes
        behind = self._journal.last_position - self._pipeline.fed
        failing = self._pipeline.failing
        return (
            Component("ingest", self.listening, "" if self.listening else "starting"),
            Component("journal", used < 1, f"{used:.0%} of its quota used, last position {self._journal.last_position}"),
            Component("pipeline", not self._task.done(), f"{behind} entries behind" if not self._task.done() else "it has ended"),
            Component("sink", failing is None, failing or f"stored up to position {self._pipeline.done.position}"),
            self._directory.component(),
        )


def limits(settings: Settings) -> Limits:
    """The correlator's limits from the settings."""
    correlate = settings.correlate
    return Limits(
        expects_tap=correlate.expect != "access_log",
        expects_access_log=correlate.expect != "tap",
        linger_us=_us(correlate.linger_seconds),
        idle_us=_us(correlate.idle_seconds),
        late_us=_us(correlate.late_seconds),
        open_bytes=correlate.open_bytes,
        late_bytes=correlate.late_bytes,
        closed_keys=correlate.closed_keys,
        ledger_us=_us(correlate.ledger_seconds),
        skips_probes=not settings.services.probes,
        tap_label=correlate.tap_label,
    )


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
