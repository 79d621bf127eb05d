"""Metrics of partitions: a process gains and loses them, so their figures are collected when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collector.journal.kafka_writer import RawWriter
    from collector.roles.supervisor import Supervisor


class PartitionMetrics(Collector):
    """How far each partition of this process is."""

    def __init__(self, registry: CollectorRegistry, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lag = GaugeMetricFamily("meshscribe_partition_lag", "Records not processed yet", labels=["topic", "partition"])
        failing = GaugeMetricFamily("meshscribe_partition_failing", "1 while it does not get on", labels=["topic", "partition"])
        oldest = GaugeMetricFamily(
            "meshscribe_pipeline_oldest_unstored_seconds", "Age of the oldest entry that is not stored yet", labels=["topic", "partition"]
        )
        lost = GaugeMetricFamily(
            "meshscribe_partition_lost", "Records that retention took before they were read", labels=["topic", "partition"]
        )
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

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, help_text, value in (
            ("waiting_bytes", "Memory taken by entries that are not durable yet", self._writer.waiting_bytes),
            ("stalled_seconds", "How long the slowest partition has been waiting for Kafka", self._writer.stalled_seconds),
            ("appended", "Entries that became durable since the start", self._writer.appended),
        ):
            yield GaugeMetricFamily(f"meshscribe_journal_{name}", help_text, value=value)
