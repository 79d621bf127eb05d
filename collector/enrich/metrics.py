"""Metrics of the services: what is known, how fresh it is, and what failed. Collected when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from collector.clock import Clock
from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import KeeperStatus
from collector.enrich.status import ReflectorStatus, WatchStatus
from collector.metrics.listed import watching
from collector.metrics.metric import ListedCounter, ListedGauge

_OF_A_WATCH: tuple[tuple[ListedCounter | ListedGauge, Callable[[ReflectorStatus], int]], ...] = (
    (watching.WATCH_OBJECTS, lambda status: status.objects),
    (watching.WATCH_EVENTS, lambda status: status.events),
    (watching.WATCH_LISTS, lambda status: status.lists),
    (watching.WATCH_GONE, lambda status: status.gone),
    (watching.WATCH_ERRORS, lambda status: status.errors),
    (watching.WATCH_MALFORMED, lambda status: status.malformed),
    (watching.WATCH_CRASHES, lambda status: status.crashes),
)


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
        yield watching.VERSIONS.family(len(catalogue))
        yield watching.REFUSED.family(catalogue.refused)
        kept = self._measured.kept()
        if kept is not None:
            yield from _of_keeper(kept)
        status = self._measured.status()
        if status is not None:
            yield from self._of_source(status)

    def _of_source(self, status: WatchStatus) -> Iterator[Metric]:
        yield watching.ALIVE.family(int(status.alive))
        yield watching.SYNCED.family(int(status.synced))
        if status.last_heard_us is not None:
            yield watching.AGE_SECONDS.family(max(self._clock.now_us() - status.last_heard_us, 0) / 1e6)
        state = watching.WATCH_STATE.family()
        for each in status.reflectors:
            state.add_metric([each.kind, each.namespace, each.state], 1)
        yield state
        for listed, value in _OF_A_WATCH:
            metric = listed.family()
            for each in status.reflectors:
                metric.add_metric([each.kind, each.namespace], value(each))
            yield metric


def _of_keeper(kept: KeeperStatus) -> Iterator[Metric]:
    yield watching.SAVED.family(kept.saved)
    yield watching.WAITING.family(kept.waiting)
    yield watching.DROPPED.family(kept.dropped)
    yield watching.SAVE_FAILURES.family(kept.failures)
    yield watching.PRUNED.family(kept.pruned)
