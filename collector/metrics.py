"""All metrics of the process, in one place: name, labels, meaning. Built once in app.py on a registry that is handed in.

Stages get the small group that concerns them, with the labels' children made beforehand: no look-up by label on hot paths.
"""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Coarse on purpose: an fsync takes from 0.1 ms (good disk) to 100 ms (busy network volume).
APPEND_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)


class TapMetrics:
    """POST /v1/tap. `result` is what became of a batch."""

    RESULTS = ("accepted", "malformed", "too_large", "unsupported", "unauthorized", "timeout", "disconnected", "busy")

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
    """Envoy's access log service. `result`: accepted, malformed, or refused (the journal had no room)."""

    RESULTS = ("accepted", "malformed", "refused")

    def __init__(self, registry: CollectorRegistry) -> None:
        messages = Counter("meshscribe_access_log_messages_total", "Access log messages by result", ["result"], registry=registry)
        entries = Counter("meshscribe_access_log_entries_total", "Access log entries by result", ["result"], registry=registry)
        self.messages = {result: messages.labels(result) for result in self.RESULTS}
        self.entries = {result: entries.labels(result) for result in self.RESULTS}
        self.bytes = Counter("meshscribe_access_log_bytes_total", "Bytes of accepted access log messages", registry=registry)
        self.streams = Gauge("meshscribe_access_log_streams", "Access log streams open now", registry=registry)


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


class JournalMetrics:
    """The journal's size and place, read when they are scraped."""

    def __init__(self, registry: CollectorRegistry, journal: JournalState) -> None:
        for name, help_text, read in (
            ("kept_bytes", "Payload bytes kept", lambda: journal.kept_bytes),
            ("quota_bytes", "Payload bytes kept at most", lambda: journal.quota_bytes),
            ("waiting_bytes", "Memory taken by entries that are not durable yet", lambda: journal.waiting_bytes),
            ("last_position", "Position of the newest durable entry", lambda: journal.last_position),
            ("floor_position", "Position up to which entries are forgotten", lambda: journal.floor_position),
        ):
            Gauge(f"meshscribe_journal_{name}", help_text, registry=registry).set_function(read)


class PipelineState(Protocol):
    """What can be read off the pipeline at any time."""

    @property
    def fed(self) -> int: ...
    @property
    def failing(self) -> str | None: ...


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
            ("open_exchanges", "Exchanges that are not closed yet", lambda: correlator.open_exchanges),
            ("open_bytes", "Bytes that open exchanges hold", lambda: correlator.open_bytes),
        ):
            Gauge(f"meshscribe_{name}", help_text, registry=registry).set_function(read)
