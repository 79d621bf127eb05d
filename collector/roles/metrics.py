"""Metrics of partitions: a process gains and loses them, so their figures are collected when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from collector.metrics.listed import storing

if TYPE_CHECKING:
    from collector.journal.kafka_writer import RawWriter
    from collector.roles.supervisor import Supervisor


class PartitionMetrics(Collector):
    """How far each partition of this process is."""

    def __init__(self, registry: CollectorRegistry, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        lag = storing.PARTITION_LAG.family()
        failing = storing.PARTITION_FAILING.family()
        oldest = storing.PARTITION_UNSTORED_SECONDS.family()
        lost = storing.PARTITION_LOST.family()
        works = self._supervisor.works
        for at, work in works.items():
            oldest.add_metric([at.topic, str(at.partition)], work.oldest_unstored_seconds)
            lost.add_metric([at.topic, str(at.partition)], work.lost)
            if work.lag is not None:
                lag.add_metric([at.topic, str(at.partition)], work.lag)
        for component, at in zip(self._supervisor.components(), sorted(works), strict=True):
            failing.add_metric([at.topic, str(at.partition)], int(not component.ok))
        yield lag
        yield failing
        yield oldest
        yield lost


class RawMetrics(Collector):
    """What waits for Kafka in the role receive."""

    def __init__(self, registry: CollectorRegistry, writer: RawWriter) -> None:
        self._writer = writer
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        yield storing.JOURNAL_WAITING_BYTES.family(self._writer.waiting_bytes)
        yield storing.JOURNAL_STALLED_SECONDS.family(self._writer.stalled_seconds)
        yield storing.JOURNAL_APPENDED.family(self._writer.appended)
