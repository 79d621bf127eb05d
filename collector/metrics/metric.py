"""What a listed metric is, and how the process makes it. The list itself is in listed/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Values = tuple[str, ...] | str  # all that a label can be; or, if that is not bounded here, where its values come from


class Role(StrEnum):
    """In which a metric is exposed. `all` has a journal of its own; `all on Kafka` is role all with `journal.url: kafka:`."""

    ALL = "all"
    ALL_ON_KAFKA = "all on Kafka"
    RECEIVE = "receive"
    PROCESS = "process"
    STORE = "store"
    AUDIT = "audit"


LISTENING = (Role.ALL, Role.ALL_ON_KAFKA, Role.RECEIVE)
PROCESSING = (Role.ALL, Role.ALL_ON_KAFKA, Role.PROCESS)
ON_PARTITIONS = (Role.ALL_ON_KAFKA, Role.PROCESS)
STORING = (*PROCESSING, Role.STORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A metric of the list. `name` is what a scrape shows; of a histogram, what `_bucket`, `_sum` and `_count` follow."""

    kind: ClassVar[str]

    name: str
    unit: str  # what 1 of it is
    means: str  # also its HELP text
    act: str  # what to do when it moves
    roles: tuple[Role, ...]  # that expose it
    labels: Mapping[str, Values] = field(default_factory=dict)
    when: str = ""  # it is exposed only with this; empty: always


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCounter(Listed):
    """Only grows, and begins at 0 after a restart."""

    kind: ClassVar[str] = "counter"

    def make(self, registry: CollectorRegistry) -> Counter:
        """The counter, registered."""
        return Counter(self.name, self.means, list(self.labels), registry=registry)

    def by_value(self, registry: CollectorRegistry) -> dict[str, Counter]:
        """A counter for each value of its one label, made beforehand: nothing is looked up on hot paths."""
        made = self.make(registry)
        return {value: made.labels(value) for value in self.values}

    @property
    def values(self) -> tuple[str, ...]:
        """All values of its one label, which is bounded."""
        [values] = self.labels.values()
        if isinstance(values, str):
            raise TypeError(f"{self.name}: its label is not bounded")
        return values

    def family(self, value: float | None = None) -> CounterMetricFamily:
        """For what is collected when it is scraped. Without a value samples are added by label."""
        return CounterMetricFamily(self.name, self.means, value=value, labels=list(self.labels) or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGauge(Listed):
    """Goes up and down."""

    kind: ClassVar[str] = "gauge"

    def make(self, registry: CollectorRegistry) -> Gauge:
        """The gauge, registered."""
        return Gauge(self.name, self.means, list(self.labels), registry=registry)

    def read(self, registry: CollectorRegistry, value: Callable[[], float]) -> None:
        """Registers it; the value is asked for at each scrape."""
        self.make(registry).set_function(value)

    def family(self, value: float | None = None) -> GaugeMetricFamily:
        """For what is collected when it is scraped. Without a value samples are added by label."""
        return GaugeMetricFamily(self.name, self.means, value=value, labels=list(self.labels) or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedHistogram(Listed):
    """How often something took how long."""

    kind: ClassVar[str] = "histogram"

    buckets: tuple[float, ...]

    def make(self, registry: CollectorRegistry) -> Histogram:
        """The histogram, registered."""
        return Histogram(self.name, self.means, list(self.labels), buckets=self.buckets, registry=registry)
