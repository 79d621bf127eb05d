"""Role process: one pipeline for each raw partition that the group gives to this process, exactly once into the events topics.

The partition's id decides on the transactional id, so that the next owner fences the last one, whether that has noticed or not. What
`high` and the checkpoints say makes the output of both the same.
"""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition

from collector.clock import Clock
from collector.correlate import Correlator
from collector.dead_letters.burials import Burials
from collector.dead_letters.kafka import KafkaDeadLetters
from collector.enrich.directory import Directory, open_versions
from collector.enrich.metrics import ServicesMetrics
from collector.journal.kafka import KafkaJournal
from collector.journal.kafka_reader import Lost
from collector.journal.kafka_topic import RawTopic, find_raw_topic
from collector.journal.kafka_writer import RawWriter
from collector.metrics import LedgerMetrics, RelayMetrics, UsageMetrics
from collector.pipeline.isolation import IsolatingSink
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.roles.membership import Membership, work_together
from collector.roles.metrics import PartitionMetrics
from collector.roles.parts import Addresses, RoleHealth, Running, Starting, clock_part, patiently
from collector.roles.probes import start_probes
from collector.roles.shared import limits, microseconds, start_burials, start_own_relays
from collector.roles.supervisor import Supervisor
from collector.settings import Settings
from collector.sinks.around import CountedSink
from collector.sinks.kafka import KafkaSink


class PartitionPipeline:
    """The pipeline of one raw partition. See supervisor.Work."""

    def __init__(
        self,
        settings: Settings,
        topic: RawTopic,
        partition: int,
        writer: RawWriter,
        directory: Directory,
        clock: Clock,
        meaning: ExchangeMeaning | None = None,
        burials: Burials | None = None,
        ledger: LedgerMetrics | None = None,
        usage: UsageMetrics | None = None,
    ) -> None:
        """`meaning`, `burials`, `ledger` and `usage`: what the process's pipelines share; made anew, or left out, if there is none."""
        self._settings, self._topic, self._partition, self._writer = settings, topic, partition, writer
        self._clock = clock
        self._meaning = meaning or ExchangeMeaning.of(settings, directory.catalogue)
        self._burials, self._ledger, self._usage = burials, ledger, usage
        self._lost = Lost()
        self.journal: KafkaJournal | None = None
        self.pipeline: Pipeline | None = None
        self.correlator: Correlator | None = None

    async def run(self) -> None:
        """Begins with what the newest checkpoint and the sink's `high` say."""
        settings = self._settings
        journal = self.journal = KafkaJournal(settings.kafka, self._topic, self._partition, self._writer, self._clock, self._lost)
        events = KafkaSink(settings.kafka, mark=journal.mark)
        journal.stored = lambda: events.marked(journal.id)
        counted = CountedSink(events, self._ledger, self._usage) if self._ledger is not None else events
        sink = IsolatingSink(counted, KafkaDeadLetters(settings.kafka), self._clock, self._burials)
        correlator = self.correlator = Correlator(limits(settings))
        self.pipeline = Pipeline(
            journal,
            sink,
            correlator,
            self._meaning,
            self._clock,
            batch=settings.sink.batch_exchanges,
            checkpoint_us=microseconds(settings.journal.checkpoint_seconds),
            checkpoint_bytes=settings.journal.checkpoint_bytes,
            with_usage=True,
        )
        try:
            await self.pipeline.run()
        finally:
            await sink.close()
            await journal.close()

    @property
    def lag(self) -> int | None:
        """See supervisor.Work."""
        end = self.journal.end if self.journal is not None else None
        return max(0, end - self.pipeline.fed) if end is not None and self.pipeline is not None else None

    def failing(self) -> str | None:
        """See supervisor.Work."""
        if self.pipeline is None or self.journal is None:
            return None
        return self.pipeline.failing or self.pipeline.checkpoint_failing or self.journal.failing

    @property
    def oldest_unstored_seconds(self) -> float:
        """See supervisor.Work."""
        return self.pipeline.oldest_unstored_seconds if self.pipeline is not None else 0.0

    @property
    def lost(self) -> int:
        """See supervisor.Work."""
        return self._lost.count


async def start(starting: Starting) -> Running:
    """Joins the group. Ends only with a bug."""
    health = RoleHealth()
    address = await start_probes(starting, health)
    task = await start_partitions(starting, health)
    start_own_relays(starting, health, RelayMetrics(starting.registry))
    return Running(task, Addresses(audit=address))


async def start_partitions(starting: Starting, health: RoleHealth, writer: RawWriter | None = None) -> asyncio.Task[None]:
    """The role without its listener. `writer`: of a process that receives as well."""
    settings, clock, stack, registry = starting[:4]
    topic = await patiently(lambda: find_raw_topic(settings.kafka), clock)
    # Every process watches; what one has seen all of them know after a restart, also without the API server.
    versions = open_versions(settings.kafka, None, clock)
    directory = Directory(settings.services, versions, clock, retention_days=settings.sink.retention_days)
    ServicesMetrics(registry, directory, clock)
    await directory.start()
    stack.push_async_callback(directory.stop)
    if writer is None:
        writer = RawWriter(settings.kafka, topic, clock, settings.ingest.max_waiting_bytes)
        stack.push_async_callback(writer.close)
        health.parts.append(clock_part(starting))
    own, meaning, burials = writer, ExchangeMeaning.of(settings, directory.catalogue), start_burials(starting)
    ledger, usage = LedgerMetrics(registry), UsageMetrics(registry, settings.usage.metric_keys)

    def make(at: TopicPartition) -> PartitionPipeline:
        return PartitionPipeline(settings, topic, at.partition, own, directory, clock, meaning, burials, ledger, usage)

    supervisor = Supervisor(make, settings.kafka.session_seconds, clock)
    membership = Membership(settings.kafka, f"meshscribe-process-{topic.name}", [topic.name], supervisor.assign, clock)
    PartitionMetrics(registry, supervisor)
    health.parts += [lambda: [membership.component()], lambda: list(supervisor.components()), lambda: [directory.component()]]
    health.parts.append(lambda: [burials.component()])
    return work_together(stack, supervisor, membership)
