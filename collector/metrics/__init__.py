"""All metrics of the process: the list of them (listed/), and the groups that parts are handed (groups.py)."""

from collector.metrics.groups import (
    AccessLogMetrics,
    AdmissionMetrics,
    ClockMetrics,
    DeadLetterMetrics,
    JournalMetrics,
    LedgerMetrics,
    ListenerMetrics,
    PipelineMetrics,
    RelayMeter,
    RelayMetrics,
    RetentionMetrics,
    SinkMetrics,
    TapMetrics,
)
from collector.metrics.usage import UsageMetrics

__all__ = [
    "AccessLogMetrics",
    "AdmissionMetrics",
    "ClockMetrics",
    "DeadLetterMetrics",
    "JournalMetrics",
    "LedgerMetrics",
    "ListenerMetrics",
    "PipelineMetrics",
    "RelayMeter",
    "RelayMetrics",
    "RetentionMetrics",
    "SinkMetrics",
    "TapMetrics",
    "UsageMetrics",
]
