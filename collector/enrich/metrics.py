"""Metrics of the services: what is known, how fresh it is, and what failed. Collected when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.clock import Clock
from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import KeeperStatus
from collector.enrich.status import ReflectorStatus, WatchStatus

_OF_A_WATCH: dict[str, tuple[str, Callable[[ReflectorStatus], int]]] = {
    "objects": ("Services that it sees now", lambda status: status.objects),
    "events": ("Changes that it was told", lambda status: status.events),
    "lists": ("Complete lists that it read", lambda status: status.lists),
    "gone": ("Answers 410: the version to resume from had expired", lambda status: status.gone),
    "errors": ("Failures of the API server or of the way to it", lambda status: status.errors),
    "malformed": ("Objects without uid, name or namespace", lambda status: status.malformed),
    "crashes": ("Ends by an error of ours", lambda status: status.crashes),
}


class Measured(Protocol):
    """What is measured."""

    catalogue: Catalogue

    def status(self) -> WatchStatus | None:
        """How the source fares; None where there is none."""

    def kept(self) -> KeeperStatus | None:
        """How saving fares; None where nothing is kept."""


class ServicesMetrics(Collector):
    """`meshscribe_services_*`."""

    def __init__(self, registry: CollectorRegistry, measured: Measured, clock: Clock) -> None:
        self._measured, self._clock = measured, clock
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        catalogue = self._measured.catalogue
        yield GaugeMetricFamily("meshscribe_services_versions", "Versions of services in memory", value=len(catalogue))
        yield CounterMetricFamily("meshscribe_services_refused", "Services for which the catalogue had no room", value=catalogue.refused)
        kept = self._measured.kept()
        if kept is not None:
            yield from _of_keeper(kept)
        status = self._measured.status()
        if status is not None:
            yield from self._of_source(status)

    def _of_source(self, status: WatchStatus) -> Iterator[Metric]:
        yield GaugeMetricFamily("meshscribe_services_alive", "1 while the watch (or the file's reader) runs", value=int(status.alive))
        yield GaugeMetricFamily("meshscribe_services_synced", "1 once everything was listed", value=int(status.synced))
        if status.last_heard_us is not None:
            age_s = max(self._clock.now_us() - status.last_heard_us, 0) / 1e6
            yield GaugeMetricFamily("meshscribe_services_age_seconds", "Since the source last told anything", value=age_s)
        state = GaugeMetricFamily(
            "meshscribe_services_watch_state",
            "1 for the state of each watch: starting, listed, watching, missing (no CRD), forbidden (RBAC), failing, dead, stopped",
            labels=["kind", "namespace", "state"],
        )
        for each in status.reflectors:
            state.add_metric([each.kind, each.namespace, each.state], 1)
        yield state
        for name, (help_text, value) in _OF_A_WATCH.items():
            family = GaugeMetricFamily if name == "objects" else CounterMetricFamily
            metric = family(f"meshscribe_services_watch_{name}", help_text, labels=["kind", "namespace"])
            for each in status.reflectors:
                metric.add_metric([each.kind, each.namespace], value(each))
            yield metric


def _of_keeper(kept: KeeperStatus) -> Iterator[Metric]:
    yield CounterMetricFamily("meshscribe_services_saved", "Versions saved to the store", value=kept.saved)
    yield GaugeMetricFamily("meshscribe_services_waiting", "Versions that wait for the store", value=kept.waiting)
    yield CounterMetricFamily("meshscribe_services_dropped", "Versions that were not saved: bound reached, or refused", value=kept.dropped)
    yield CounterMetricFamily("meshscribe_services_save_failures", "Tries to save that failed", value=kept.failures)
    yield CounterMetricFamily("meshscribe_services_pruned", "Versions deleted from the store, as superseded", value=kept.pruned)
