"""All metrics of the process, in one place: name, labels, meaning. Built once in app.py on a registry that is handed in.

Stages get the small group that concerns them, with the labels' children made beforehand: no look-up by label on hot paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.health import Waiting
from collector.http.connections import REASONS
from collector.messages.ledger import ACCESS_LOG_ENTRIES, ANNOUNCED, BY_REASON, GAPS, MISSING, RECEIVED

# Coarse on purpose: an fsync takes from 0.1 ms (good disk) to 100 ms (busy network volume).
STAGES = ("feed", "describe", "enrich", "decode", "row")  # that dead letters come from, told from the start
APPEND_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)


class ListenerMetrics:
    """Connections that an HTTP listener ended by itself, by reason (http/connections.py)."""

    def __init__(self, registry: CollectorRegistry, listener: str) -> None:
        name = f"meshscribe_{listener}_connections_refused_total"
        refused = Counter(name, "Connections ended for holding too much of the listener", ["reason"], registry=registry)
        self._refused = {reason: refused.labels(reason) for reason in REASONS}

    def refused(self, reason: str) -> None:
        self._refused[reason].inc()


class TapMetrics:
    """POST /v1/tap. `result` is what became of a batch."""

    RESULTS = (
        "accepted",
        "malformed",
        "excessive",
        "too_large",
        "unsupported",
        "unauthorized",
        "forbidden",
        "timeout",
        "disconnected",
        "busy",
    )

    def __init__(self, registry: CollectorRegistry) -> None:
        batches = Counter("meshscribe_tap_batches_total", "Tap batches by result", ["result"], registry=registry)
        self.batches = {result: batches.labels(result) for result in self.RESULTS}
        self.bytes = Counter("meshscribe_tap_bytes_total", "Bytes of accepted tap batches, decompressed", registry=registry)
        self.unknown_levels = Counter(
            "meshscribe_tap_unknown_levels_total", "Accepted batches with a level this version does not know", registry=registry
        )
        self.append_seconds = Histogram(
            "meshscribe_tap_append_seconds", "Time until a tap batch was durable", buckets=APPEND_BUCKETS, registry=registry
        )


class AccessLogMetrics:
    """Envoy's access log service. `result`: accepted, or why not; `refused`: the journal had no room."""

    RESULTS = ("accepted", "malformed", "excessive", "unauthorized", "forbidden", "refused")

    def __init__(self, registry: CollectorRegistry) -> None:
        messages = Counter("meshscribe_access_log_messages_total", "Access log messages by result", ["result"], registry=registry)
        entries = Counter("meshscribe_access_log_entries_total", "Access log entries by result", ["result"], registry=registry)
        self.messages = {result: messages.labels(result) for result in self.RESULTS}
        self.entries = {result: entries.labels(result) for result in self.RESULTS}
        self.bytes = Counter("meshscribe_access_log_bytes_total", "Bytes of accepted access log messages", registry=registry)
        self.streams = Gauge("meshscribe_access_log_streams", "Access log streams open now", registry=registry)


class AdmissionMetrics:
    """Messages that found no room, by reason (receive/shares.py). `share_…`: their sender has too much there."""

    REASONS = ("share_processing", "share_quota", "share_waiting", "waiting")

    def __init__(self, registry: CollectorRegistry) -> None:
        refused = Counter("meshscribe_ingest_refused_total", "Messages of proxies that found no room", ["reason"], registry=registry)
        self.refused = {reason: refused.labels(reason) for reason in self.REASONS}


class ClockMetrics:
    """How often the clock was set. `direction`: ahead, back."""

    def __init__(self, registry: CollectorRegistry) -> None:
        steps = Counter("meshscribe_clock_steps_total", "Times that the machine's clock was set", ["direction"], registry=registry)
        self._steps = {direction: steps.labels(direction) for direction in ("ahead", "back")}

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
        for name, help_text, read in (
            ("kept_bytes", "Payload bytes kept", lambda: journal.kept_bytes),
            ("quota_bytes", "Payload bytes kept at most", lambda: journal.quota_bytes),
            ("waiting_bytes", "Memory taken by entries that are not durable yet", lambda: journal.waiting_bytes),
            ("last_position", "Position of the newest durable entry", lambda: journal.last_position),
            ("floor_position", "Position up to which entries are forgotten", lambda: journal.floor_position),
            ("damages", "Times since the start that the file was found cut, damaged or not to fit the store", lambda: journal.damages),
        ):
            Gauge(f"meshscribe_journal_{name}", help_text, registry=registry).set_function(read)


class PipelineState(Protocol):
    """What can be read off the pipeline at any time."""

    @property
    def fed(self) -> int: ...
    @property
    def failing(self) -> str | None: ...
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


class PipelineMetrics:
    """How far the pipeline is, and what it holds, read when they are scraped."""

    def __init__(self, registry: CollectorRegistry, pipeline: PipelineState, correlator: CorrelatorState) -> None:
        for name, help_text, read in (
            ("pipeline_position", "Position of the last journal entry correlated", lambda: pipeline.fed),
            ("sink_failing", "1 while the sink takes no events", lambda: int(pipeline.failing is not None)),
            (
                "sink_waiting_seconds",
                "How long the store has been waited for; what hangs answers nothing",
                lambda: pipeline.waiting.seconds,
            ),
            ("open_exchanges", "Exchanges that are not closed yet", lambda: correlator.open_exchanges),
            ("open_bytes", "Bytes that open exchanges hold", lambda: correlator.open_bytes),
            (
                "pipeline_oldest_unstored_seconds",
                "Age of the oldest entry that is not stored yet",
                lambda: pipeline.oldest_unstored_seconds,
            ),
            ("checkpoints_failed", "Checkpoints since the start that could not be made", lambda: pipeline.checkpoints_failed),
        ):
            Gauge(f"meshscribe_{name}", help_text, registry=registry).set_function(read)


class BurialState(Protocol):
    """What can be read off the count of dead letters at any time."""

    @property
    def stages(self) -> Mapping[str, int]: ...
    @property
    def total(self) -> int: ...


class DeadLetterMetrics(Collector):
    """What the pipeline gave up, read when it is scraped. `stage`: feed, redact, decode, enrich, describe, row."""

    def __init__(self, registry: CollectorRegistry, burials: BurialState) -> None:
        self._burials = burials
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        letters = CounterMetricFamily("meshscribe_dead_letters", "Dead letters of the pipeline since the start", labels=["stage"])
        for stage in sorted({*STAGES, *self._burials.stages}):
            letters.add_metric([stage], self._burials.stages.get(stage, 0))
        yield letters
        yield GaugeMetricFamily("meshscribe_sink_dead_letters", "All of them together", value=self._burials.total)


class LedgerMetrics:
    """What the ledger's windows say, counted when they are stored: over all proxies, since the start of the process.

    Reasons come from outside: of each kind so many have a label of their own, in the order in which they came.
    """

    COUNTS = (ANNOUNCED, RECEIVED, MISSING, ACCESS_LOG_ENTRIES, *GAPS)
    REASONS = 32

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts = {
            name: Counter(f"meshscribe_ledger_{name}_total", f"The ledger's {name}, over all proxies", registry=registry)
            for name in self.COUNTS
        }
        self._by_reason = {
            name: Counter(f"meshscribe_ledger_{name}_total", f"The ledger's {name}, by reason", ["reason"], registry=registry)
            for name in BY_REASON
        }
        self._cured = Counter("meshscribe_ledger_cured_total", "What was counted and came after all", ["count"], registry=registry)
        self._away = Counter(
            "meshscribe_ledger_away_seconds_total", "Time in which the collector took nothing", ["reason"], registry=registry
        )
        self._labels: dict[str, set[str]] = {name: set() for name in (*BY_REASON, "cured", "away")}

    def window(self, data: Mapping[str, Any]) -> None:
        """Counts a window: see messages/ledger_data.py."""
        for name, counter in self._counts.items():
            counter.inc(max(0, data.get(name, 0)))
        for name, by_reason in self._by_reason.items():
            for reason, number in data.get(name, {}).items():
                by_reason.labels(self._label(name, reason)).inc(max(0, number))
        for name, starts in data.get("cured", {}).items():
            self._cured.labels(self._label("cured", name)).inc(sum(starts.values()))
        if away := data.get("away"):
            self._away.labels(self._label("away", away.get("reason", "unknown"))).inc(data["window"]["seconds"])

    def _label(self, kind: str, reason: str) -> str:
        known = self._labels[kind]
        if reason not in known and len(known) >= self.REASONS:
            return "other"
        known.add(reason)
        return reason


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
        self._failing = Gauge("meshscribe_relay_failing", "1 while a relay's target or feed fails", ["relay"], registry=registry)
        self._lag = Gauge("meshscribe_relay_lag", "Journal positions that a relay is behind", ["relay"], registry=registry)
        self._events = Counter("meshscribe_relay_events_total", "Events that a relay's target took", ["relay"], registry=registry)
        self._retries = Counter("meshscribe_relay_retries_total", "Attempts of a relay that failed", ["relay"], registry=registry)
        self._letters = Counter("meshscribe_relay_dead_letters_total", "What a relay gave up", ["relay"], registry=registry)

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
        days = Gauge("meshscribe_retention_held_days", "Days too old that a relay has not copied yet", ["relay"], registry=registry)
        for relay in hold.held:
            days.labels(relay).set_function(partial(_held, hold, relay))


def _held(hold: HoldState, relay: str) -> float:
    return float(hold.held[relay])


def _failing(states: Callable[[], Sequence[RelayState]], number: int) -> float:
    return float(states()[number].failing is not None)


def _lag(states: Callable[[], Sequence[RelayState]], number: int) -> float:
    return float(states()[number].lag)
