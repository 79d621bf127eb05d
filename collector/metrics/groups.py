"""The groups of metrics that parts are handed, made of the list (listed/) on the process's registry.

Each part gets the small group that concerns it, with the labels' children made beforehand: no look-up by label on hot paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from collector.health import Waiting
from collector.messages import ledger
from collector.messages.usage import UsageAbsence
from collector.metrics.listed import losses, receiving, relaying, storing

_LISTENERS = {
    "ingest": receiving.INGEST_CONNECTIONS_REFUSED,
    "audit": receiving.AUDIT_CONNECTIONS_REFUSED,
    "probe": receiving.PROBE_CONNECTIONS_REFUSED,
}


class ListenerMetrics:
    """Connections that an HTTP listener ended by itself, by reason (http/connections.py)."""

    def __init__(self, registry: CollectorRegistry, listener: Literal["ingest", "audit", "probe"]) -> None:
        self._refused = _LISTENERS[listener].by_value(registry)

    def refused(self, reason: str) -> None:
        self._refused[reason].inc()


class TapMetrics:
    """POST /v1/tap."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batches = receiving.TAP_BATCHES.by_value(registry)
        self.bytes = receiving.TAP_BYTES.make(registry)
        self.unknown_levels = receiving.TAP_UNKNOWN_LEVELS.make(registry)
        self.append_seconds = receiving.TAP_APPEND_SECONDS.make(registry)


class AccessLogMetrics:
    """Envoy's access log service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = receiving.ACCESS_LOG_MESSAGES.by_value(registry)
        self.entries = receiving.ACCESS_LOG_ENTRIES.by_value(registry)
        self.bytes = receiving.ACCESS_LOG_BYTES.make(registry)
        self.streams = receiving.ACCESS_LOG_STREAMS.make(registry)


class AdmissionMetrics:
    """Messages that found no room, by reason (receive/shares.py)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.refused = receiving.INGEST_REFUSED.by_value(registry)


class ClockMetrics:
    """How often the clock was set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._steps = receiving.CLOCK_STEPS.by_value(registry)

    def count(self, direction: str) -> None:
        self._steps[direction].inc()


class JournalState(Protocol):
    """What can be read off a journal at any time."""

    @property
    def kept_bytes(self) -> int: ...
    @property
    def quota_bytes(self) -> int: ...
    @property
    def waiting_bytes(self) -> int: ...
    @property
    def last_position(self) -> int: ...
    @property
    def floor_position(self) -> int: ...
    @property
    def damages(self) -> int: ...


class JournalMetrics:
    """The journal's size and place, read when they are scraped."""

    def __init__(self, registry: CollectorRegistry, journal: JournalState) -> None:
        storing.JOURNAL_KEPT_BYTES.read(registry, lambda: journal.kept_bytes)
        storing.JOURNAL_QUOTA_BYTES.read(registry, lambda: journal.quota_bytes)
        storing.JOURNAL_WAITING_BYTES.read(registry, lambda: journal.waiting_bytes)
        storing.JOURNAL_LAST_POSITION.read(registry, lambda: journal.last_position)
        storing.JOURNAL_FLOOR_POSITION.read(registry, lambda: journal.floor_position)
        storing.JOURNAL_DAMAGES.read(registry, lambda: journal.damages)


class PipelineState(Protocol):
    """What can be read off the pipeline at any time."""

    @property
    def fed(self) -> int: ...
    @property
    def waiting(self) -> Waiting: ...
    @property
    def checkpoints_failed(self) -> int: ...
    @property
    def oldest_unstored_seconds(self) -> float: ...


class CorrelatorState(Protocol):
    """What can be read off the correlator at any time."""

    @property
    def open_exchanges(self) -> int: ...
    @property
    def open_bytes(self) -> int: ...


class SinkMetrics:
    """Whether the sink takes events, read when it is scraped: also before there is a pipeline that would give it any."""

    def __init__(self, registry: CollectorRegistry, failing: Callable[[], str | None]) -> None:
        storing.SINK_FAILING.read(registry, lambda: int(failing() is not None))


class PipelineMetrics:
    """How far the pipeline is, and what it holds, read when they are scraped."""

    def __init__(self, registry: CollectorRegistry, pipeline: PipelineState, correlator: CorrelatorState) -> None:
        storing.PIPELINE_POSITION.read(registry, lambda: pipeline.fed)
        storing.SINK_WAITING_SECONDS.read(registry, lambda: pipeline.waiting.seconds)
        storing.OPEN_EXCHANGES.read(registry, lambda: correlator.open_exchanges)
        storing.OPEN_BYTES.read(registry, lambda: correlator.open_bytes)
        storing.OLDEST_UNSTORED_SECONDS.read(registry, lambda: pipeline.oldest_unstored_seconds)
        storing.CHECKPOINTS_FAILED.read(registry, lambda: pipeline.checkpoints_failed)


class BurialState(Protocol):
    """What can be read off the count of dead letters at any time."""

    @property
    def stages(self) -> Mapping[str, int]: ...
    @property
    def total(self) -> int: ...


class DeadLetterMetrics(Collector):
    """What the pipeline gave up, read when it is scraped."""

    def __init__(self, registry: CollectorRegistry, burials: BurialState) -> None:
        self._burials = burials
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        letters, stages = storing.DEAD_LETTERS.family(), self._burials.stages
        for stage in sorted({*storing.DEAD_LETTERS.values, *stages}):
            letters.add_metric([stage], stages.get(stage, 0))
        yield letters
        yield storing.SINK_DEAD_LETTERS.family(self._burials.total)


_LEDGER_COUNTS = {
    ledger.ANNOUNCED: losses.ANNOUNCED,
    ledger.RECEIVED: losses.RECEIVED,
    ledger.MISSING: losses.MISSING,
    ledger.ACCESS_LOG_ENTRIES: losses.ACCESS_LOG_ENTRIES,
    ledger.WITHOUT_TAP: losses.WITHOUT_TAP,
    ledger.WITHOUT_ACCESS_LOG: losses.WITHOUT_ACCESS_LOG,
}
_LEDGER_REASONS = {ledger.DROPPED: losses.DROPPED, ledger.REFUSED: losses.REFUSED, ledger.MALFORMED: losses.MALFORMED}


class LedgerMetrics:
    """What the ledger's windows say, counted when they are stored: over all proxies, since the start of the process. And what of calls is
    not known to the bill.

    Reasons and services come from outside: of each kind so many have a label of their own, in the order in which they came.
    """

    REASONS, SERVICES = 32, 256

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts = {name: listed.make(registry) for name, listed in _LEDGER_COUNTS.items()}
        self._by_reason = {name: listed.make(registry) for name, listed in _LEDGER_REASONS.items()}
        self._cured = losses.CURED.make(registry)
        self._away = losses.AWAY_SECONDS.make(registry)
        self._untold = losses.CALLS_WITHOUT_USAGE.make(registry)
        self._mirrored = losses.MIRRORED_CALLS.make(registry)
        self._labels: dict[str, set[str]] = {name: set() for name in (*_LEDGER_REASONS, "cured", "away", "service")}

    def window(self, data: Mapping[str, object]) -> None:
        """Counts a window: see messages/ledger_data.py."""
        for name, counter in self._counts.items():
            if isinstance(number := data.get(name), int):
                counter.inc(max(0, number))
        for name, by_reason in self._by_reason.items():
            for reason, number in _members(data.get(name)).items():
                by_reason.labels(self._label(name, reason)).inc(max(0, number))
        for name, starts in _members(data.get("cured")).items():
            self._cured.labels(self._label("cured", name)).inc(sum(starts.values()))
        if away := _members(data.get("away")):
            self._away.labels(self._label("away", away.get("reason", "unknown"))).inc(_members(data["window"])["seconds"])

    def without_usage(self, service: str, reason: UsageAbsence, calls: int) -> None:
        """Counts calls that would be billed if their usage were known."""
        self._untold.labels(self._label("service", service, self.SERVICES), reason).inc(calls)

    def mirrored(self, service: str, calls: int) -> None:
        """Counts calls that would be billed if their host did not say that they are copies."""
        self._mirrored.labels(self._label("service", service, self.SERVICES)).inc(calls)

    def _label(self, kind: str, reason: str, most: int = REASONS) -> str:
        known = self._labels[kind]
        if reason not in known and len(known) >= most:
            return "other"
        known.add(reason)
        return reason


def _members(of: object) -> dict[str, Any]:
    """A part of a window's data, which describe made; empty where there is none."""
    return of if isinstance(of, dict) else {}


class RelayState(Protocol):
    """What can be read off a relay at any time."""

    @property
    def name(self) -> str: ...
    @property
    def lag(self) -> int: ...
    @property
    def failing(self) -> str | None: ...


class RelayMeter:
    """The counters of one relay."""

    def __init__(self, events: Counter, retries: Counter, letters: Counter) -> None:
        self._events, self._retries, self._letters = events, retries, letters

    def wrote(self, events: int) -> None:
        self._events.inc(events)

    def retried(self) -> None:
        self._retries.inc()

    def buried(self) -> None:
        self._letters.inc()


class RelayMetrics:
    """What relays did, by relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failing = relaying.FAILING.make(registry)
        self._lag = relaying.LAG.make(registry)
        self._events = relaying.EVENTS.make(registry)
        self._retries = relaying.RETRIES.make(registry)
        self._letters = relaying.DEAD_LETTERS.make(registry)

    def meter(self, relay: str) -> RelayMeter:
        """The counters of this relay."""
        return RelayMeter(self._events.labels(relay), self._retries.labels(relay), self._letters.labels(relay))

    def watch(self, states: Callable[[], Sequence[RelayState]]) -> None:
        """Gauges of these relays, read when they are scraped."""
        for number, state in enumerate(states()):
            self._failing.labels(state.name).set_function(partial(_failing, states, number))
            self._lag.labels(state.name).set_function(partial(_lag, states, number))


class HoldState(Protocol):
    """What can be read off what holds retention back."""

    @property
    def held(self) -> Mapping[str, int]: ...


class RetentionMetrics:
    """Days that are kept although they are too old, by the relay that has not copied them."""

    def __init__(self, registry: CollectorRegistry, hold: HoldState) -> None:
        days = relaying.HELD_DAYS.make(registry)
        for relay in hold.held:
            days.labels(relay).set_function(partial(_held, hold, relay))


def _held(hold: HoldState, relay: str) -> float:
    return float(hold.held[relay])


def _failing(states: Callable[[], Sequence[RelayState]], number: int) -> float:
    return float(states()[number].failing is not None)


def _lag(states: Callable[[], Sequence[RelayState]], number: int) -> float:
    return float(states()[number].lag)
