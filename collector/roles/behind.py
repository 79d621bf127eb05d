"""What stands behind the journal in role all: store, relays, catalogue of services, pipeline, audit API.

Slow to load and to start: the store's tables are migrated, its server is waited for. What comes in meanwhile waits in the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.correlate import Correlator
from collector.dead_letters.burials import Burials
from collector.dead_letters.open import open_letters
from collector.enrich.directory import Directory, open_versions
from collector.enrich.metrics import ServicesMetrics
from collector.health import Component, Health
from collector.journal.sqlite import SqliteJournal
from collector.metrics import LedgerMetrics, PipelineMetrics, RelayMetrics, RetentionMetrics, UsageMetrics
from collector.pipeline.isolation import IsolatingSink
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.receive.shares import Progress
from collector.relays.hold import RelayHold
from collector.relays.start import Relays, start_relays
from collector.roles.audit_api import look_relays, start_audit_app, start_look_expiry
from collector.roles.parts import Starting, patiently
from collector.roles.phase import Phase
from collector.roles.probes import Front
from collector.roles.shared import limits, microseconds, start_burials
from collector.sinks.around import CountedSink, ToldSink
from collector.sinks.kafka import KafkaSink
from collector.sinks.open import open_sink
from collector.sinks.protocol import Sink
from collector.store.engine import open_engine, open_expiry, prepare_to_write
from collector.store.merging import Merging
from collector.store.retention import Retention, UsageExpiry
from collector.store.usage_book import counting
from collector.store.usage_counting import BackgroundCount
from collector.tasks import cancel

log = logging.getLogger("meshscribe")

AWAY_SECONDS = 1.0  # a sink that takes nothing is not waited for: every second costs access logs


class Behind:
    """The parts. `task` ends only if the pipeline cannot go on."""

    def __init__(
        self,
        journal: SqliteJournal,
        pipeline: Pipeline,
        task: asyncio.Task[None],
        directory: Directory,
        relays: Relays,
        burials: Burials,
        others: Sequence[Callable[[], Sequence[Component]]] = (),
    ) -> None:
        self.task, self._others = task, others
        self._journal, self._pipeline, self._directory, self._relays, self._burials = journal, pipeline, directory, relays, burials

    @property
    def failing(self) -> str | None:
        """Why the sink takes nothing now."""
        return self._pipeline.failing

    def progress(self) -> Progress:
        """Of the pipeline."""
        return Progress(self._pipeline.settled, self._pipeline.checkpointed, self._pipeline.away)

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        pipeline = self._pipeline
        ended, failing = self.task.done(), pipeline.failing
        lag = f"{self._journal.last_position - pipeline.fed} entries behind{self._oldest()}"
        return (
            Component("pipeline", not ended, "it has ended" if ended else lag),
            Component("sink", failing is None, failing or f"stored up to position {pipeline.done.position}"),
            Component("checkpoint", pipeline.checkpoint_failing is None, pipeline.checkpoint_failing or ""),
            self._burials.component(),
            self._directory.component(),
            *self._relays.components(),
            *(component for other in self._others for component in other()),
        )

    def _oldest(self) -> str:
        seconds = self._pipeline.oldest_unstored_seconds
        return f", the oldest that is not stored came {seconds:.1f} s ago" if seconds else ""


async def start(starting: Starting, journal: SqliteJournal, health: Health, front: Front, wait_for: Callable[[str], None]) -> Behind:
    """Sinks first. They are stopped last, after the pipeline was drained. `wait_for` is told why the store cannot be used yet.

    Raises SettingsError: files or tables that do not fit.
    """
    settings, clock, stack, registry = starting.settings, starting.clock, starting.stack, starting.registry
    engine = await _store(starting, wait_for)
    burials = start_burials(starting)
    sink, told = _sink(starting, engine, burials)
    stack.push_async_callback(sink.close)
    relays = start_relays(settings, clock, RelayMetrics(registry), look_relays(starting))
    stack.push_async_callback(relays.stop)
    others: list[Callable[[], Sequence[Component]]] = []
    if engine is not None:
        others.append(_start_counting(starting, engine).components)
        stack.push_async_callback(cancel, asyncio.create_task(Merging(engine, clock).run()))
        _start_retention(starting)
        start_look_expiry(starting)
    directory = await _directory(starting, engine)
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
    if engine is not None:
        app, access = await start_audit_app(starting, engine, health, directory)
        others.append(access)
        told.stored = app.tails.wake
        front.show(app)
        stack.callback(front.hide)
        stack.push_async_callback(app.tails.stop)
    stack.push_async_callback(_drain, pipeline, journal, task, starting.phase)
    return Behind(journal, pipeline, task, directory, relays, burials, others)


async def _store(starting: Starting, wait_for: Callable[[str], None]) -> AsyncEngine | None:
    """The SQL store, ready to be asked; None if the sink is Kafka, which answers no queries."""
    sink = starting.settings.sink
    if sink.is_kafka:
        return None
    await patiently(lambda: prepare_to_write(sink), starting.clock, wait_for)  # what is received meanwhile waits in the journal
    engine = open_engine(sink, starting.settings.audit.query_seconds)
    starting.stack.push_async_callback(engine.dispose)
    return engine


def _sink(starting: Starting, engine: AsyncEngine | None, burials: Burials) -> tuple[IsolatingSink, ToldSink]:
    settings, clock = starting.settings, starting.clock
    inner: Sink = KafkaSink(settings.kafka) if engine is None else open_sink(settings.sink, clock, settings.usage, settings.search)
    counted = CountedSink(inner, LedgerMetrics(starting.registry), UsageMetrics(starting.registry, settings.usage.metric_keys))
    told = ToldSink(counted)
    return IsolatingSink(told, open_letters(settings), clock, burials), told


def _start_counting(starting: Starting, engine: AsyncEngine) -> BackgroundCount:
    """Of what older versions stored."""
    made = BackgroundCount(engine, counting(starting.settings.usage), starting.clock)
    starting.stack.push_async_callback(cancel, asyncio.create_task(made.run()))
    return made


def _start_retention(starting: Starting) -> None:
    settings = starting.settings
    store, clock = open_expiry(settings.sink), starting.clock
    if settings.usage.retention_days is not None:
        ending = Retention(UsageExpiry(store), settings.usage.retention_days, clock)
        starting.stack.push_async_callback(cancel, asyncio.create_task(ending.run()))
    if settings.sink.retention_days is None:
        return
    hold = RelayHold(settings)
    RetentionMetrics(starting.registry, hold)
    ending = Retention(store, settings.sink.retention_days, clock, hold.first_kept)
    starting.stack.push_async_callback(cancel, asyncio.create_task(ending.run()))


async def _directory(starting: Starting, engine: AsyncEngine | None) -> Directory:
    """The catalogue of services, with its first list."""
    settings, clock = starting.settings, starting.clock
    versions = open_versions(settings.kafka, engine, clock)
    directory = Directory(settings.services, versions, clock, retention_days=settings.sink.retention_days)
    ServicesMetrics(starting.registry, directory, clock)
    await directory.start()
    starting.stack.push_async_callback(directory.stop)
    return directory


async def _drain(pipeline: Pipeline, journal: SqliteJournal, task: asyncio.Task[None], phase: Phase) -> None:
    """What was received is stored, if the sink takes it in time; the rest stays in the journal."""
    if not task.done():
        seconds = AWAY_SECONDS if pipeline.away else phase.drain_seconds()
        if not await pipeline.drained(journal.last_position, seconds):
            log.warning("stopped before all was stored: the journal keeps the rest for the next start")
        task.cancel()
    await asyncio.wait({task})
