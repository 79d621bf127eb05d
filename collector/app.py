"""The composition root: builds every part once, starts sinks first and sources last, stops sources first, drains, then sinks."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.app import create_app
from collector.cancelled import cancel
from collector.clock import Clock, SystemClock
from collector.correlate import Correlator
from collector.dead_letters.burials import Burials
from collector.dead_letters.open import open_letters
from collector.directory import Directory, open_versions
from collector.enrich.metrics import ServicesMetrics
from collector.health import Component
from collector.isolation import IsolatingSink
from collector.journal.component import journal_component
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.meaning import ExchangeMeaning
from collector.metrics import AdmissionMetrics, JournalMetrics, LedgerMetrics, PipelineMetrics, RelayMetrics, RetentionMetrics
from collector.pipeline import Pipeline
from collector.receive.admission import Admission
from collector.receive.shares import Progress, Shares, share_key
from collector.relays.hold import RelayHold
from collector.relays.start import Relays, start_relays
from collector.roles import audit, both, process, receive, store
from collector.roles.away import Presence
from collector.roles.parts import Addresses, Running, Starting, limits, microseconds, start_audit, start_burials, start_ingest, start_probes
from collector.settings import Settings
from collector.sinks.counted import CountedSink
from collector.sinks.kafka import KafkaSink
from collector.sinks.open import open_engine, open_expiry, open_sink, prepare
from collector.sinks.retention import Retention

log = logging.getLogger("meshscribe")

DRAIN_SECONDS = 10.0


async def serve(settings: Settings, ready: Callable[[Addresses], None] | None = None) -> None:
    """Runs the collector until SIGTERM or SIGINT. Raises what keeps a part from working; then the process is to be restarted."""
    logging.basicConfig(level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("alembic", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(_start(settings, SystemClock(), stack))
        await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # it waits for a server that is not there
            await cancel(starting)
            return
        task, addresses = starting.result()
        gc.freeze()  # what lives as long as the process is not looked through again
        gc.set_threshold(50_000, 20, 50)  # the hot path makes no cycles
        if ready is not None:
            ready(addresses)
        await asyncio.wait({stopping, task}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            task.result()
        log.info("stopping")


async def _start(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Running:
    """Starts what the role has; the stack stops it in the opposite order."""
    registry = CollectorRegistry()
    for collect in (ProcessCollector, PlatformCollector, GCCollector):
        collect(registry=registry)
    starting = Starting(settings, clock, stack, registry)
    if settings.role == "all" and settings.journal.url:
        return await both.start(starting)
    start = {"all": _start_all, "receive": receive.start, "process": process.start, "store": store.start, "audit": audit.start}
    return await start[settings.role](starting)


async def _start_all(starting: Starting) -> Running:
    """One process that does it all."""
    settings, clock, stack, registry = starting
    engine = await _store(settings, stack)
    burials = start_burials(starting)
    inner = KafkaSink(settings.kafka) if engine is None else open_sink(settings.sink, clock)
    sink = IsolatingSink(CountedSink(inner, LedgerMetrics(registry)), open_letters(settings), clock, burials)
    stack.push_async_callback(sink.close)
    relays = start_relays(settings, clock, RelayMetrics(registry))
    stack.push_async_callback(relays.stop)
    if settings.sink.retention_days is not None and engine is not None:
        hold = RelayHold(settings)
        RetentionMetrics(registry, hold)
        ending = Retention(open_expiry(settings.sink), settings.sink.retention_days, clock, hold.first_kept)
        retention = asyncio.create_task(ending.run())
        stack.push_async_callback(cancel, retention)
    journal = await open_journal(settings.journal, clock, settings.ingest.max_waiting_bytes)
    stack.push_async_callback(journal.close)
    JournalMetrics(registry, journal)

    versions = open_versions(settings.kafka, engine, clock)
    directory = Directory(settings.services, versions, clock, retention_days=settings.sink.retention_days)
    ServicesMetrics(registry, directory, clock)
    await directory.start()
    stack.push_async_callback(directory.stop)
    correlator = Correlator(limits(settings))
    pipeline = Pipeline(
        journal,
        sink,
        correlator,
        ExchangeMeaning.of(settings, directory.catalogue),
        clock,
        batch=settings.sink.batch_exchanges,
        checkpoint_us=microseconds(settings.journal.checkpoint_seconds),
        checkpoint_bytes=settings.journal.checkpoint_bytes,
        with_usage=settings.sink.is_kafka,
    )
    PipelineMetrics(registry, pipeline, correlator)
    task = asyncio.create_task(pipeline.run())
    stack.push_async_callback(_drain, pipeline, journal, task)

    admission = await _admission(starting, journal, pipeline)
    health = CollectorHealth(journal, pipeline, task, directory, relays, admission, burials)
    if engine is None:
        audit_address = await start_probes(starting, health)
    else:
        audit_address = await start_audit(starting, create_app(engine, health, registry, settings.audit, clock, directory))
    presence = Presence(journal, clock, settings.journal.path)
    await presence.start()
    stack.push_async_callback(presence.stop)
    tap_address, log_address = await start_ingest(starting, admission)
    stack.callback(presence.leave)
    health.listening = True
    return Running(task, Addresses(tap_address, log_address, audit_address))


async def _store(settings: Settings, stack: AsyncExitStack) -> AsyncEngine | None:
    """The SQL store, ready to be asked; None if the sink is Kafka, which answers no queries."""
    if settings.sink.is_kafka:
        return None
    await prepare(settings.sink)
    engine = open_engine(settings.sink, settings.audit.query_seconds)
    stack.push_async_callback(engine.dispose)
    return engine


async def _admission(starting: Starting, journal: SqliteJournal, pipeline: Pipeline) -> Admission:
    """The gate before the journal. It knows whose entries there are."""
    shares = Shares(journal.quota_bytes, starting.settings.ingest.max_waiting_bytes)
    shares.restore([(position, share_key(sender, source, ""), size) for position, source, sender, size in await journal.holdings()])

    def progress() -> Progress:
        return Progress(pipeline.settled, pipeline.checkpointed, pipeline.away)

    return Admission(journal, shares, lambda: journal.kept_bytes, progress, AdmissionMetrics(starting.registry))


async def _drain(pipeline: Pipeline, journal: SqliteJournal, task: asyncio.Task[None]) -> None:
    """What was received is stored, if the sink takes it in time; the rest stays in the journal."""
    if not task.done():
        if not await pipeline.drained(journal.last_position, DRAIN_SECONDS):
            log.warning("stopped before all was stored: the journal keeps the rest for the next start")
        task.cancel()
    await asyncio.wait({task})


class CollectorHealth:
    """The parts that must work, for /readyz."""

    def __init__(
        self,
        journal: SqliteJournal,
        pipeline: Pipeline,
        task: asyncio.Task[None],
        directory: Directory,
        relays: Relays,
        admission: Admission,
        burials: Burials,
    ) -> None:
        self._admission = admission
        self._journal, self._pipeline, self._task, self._directory, self._relays = journal, pipeline, task, directory, relays
        self._burials = burials
        self.listening = False

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        behind = self._journal.last_position - self._pipeline.fed
        failing = self._pipeline.failing
        return (
            Component("ingest", self.listening, str(self._admission.offenders) if self.listening else "starting"),
            journal_component(self._journal, self._admission.full.reason),
            Component(
                "pipeline", not self._task.done(), "it has ended" if self._task.done() else f"{behind} entries behind{self._oldest()}"
            ),
            Component("sink", failing is None, failing or f"stored up to position {self._pipeline.done.position}"),
            Component("checkpoint", self._pipeline.checkpoint_failing is None, self._pipeline.checkpoint_failing or ""),
            self._burials.component(),
            self._directory.component(),
            *self._relays.components(),
        )

    def _oldest(self) -> str:
        seconds = self._pipeline.oldest_unstored_seconds
        return f", the oldest that is not stored came {seconds:.1f} s ago" if seconds else ""
