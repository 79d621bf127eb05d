"""Metrics of receiving: listeners, tap batches, access logs, the gate before the journal, the machine's clock."""

from __future__ import annotations

from collector.http.connections import REASONS
from collector.metrics.metric import LISTENING, ListedCounter, ListedGauge, ListedHistogram, Role

# Connections that a listener ended by itself (http/connections.py).
INGEST_CONNECTIONS_REFUSED = ListedCounter(
    name="meshscribe_ingest_connections_refused_total",
    unit="connections",
    means="Connections to the tap's listener ended for holding too much of it",
    act="`too_many`: more proxies than `ingest.max_connections`: raise it, or add receivers. The others: the network is slow, or somebody"
    " who is no filter holds connections.",
    labels={"reason": REASONS},
    roles=LISTENING,
)
AUDIT_CONNECTIONS_REFUSED = ListedCounter(
    name="meshscribe_audit_connections_refused_total",
    unit="connections",
    means="Connections to the audit port ended for holding too much of it",
    act="`idle` and `too_many` grow: somebody holds connections. Find the client; raise `audit.max_connections` if it is a rightful one.",
    labels={"reason": REASONS},
    roles=tuple(Role),
)
PROBE_CONNECTIONS_REFUSED = ListedCounter(
    name="meshscribe_probe_connections_refused_total",
    unit="connections",
    means="Connections to the probe port ended for holding too much of it",
    act="Only the kubelet and Prometheus should reach this port: find who else does.",
    labels={"reason": REASONS},
    roles=tuple(Role),
    when="`audit.probe_port`",
)

# POST /v1/tap. `result` is what became of a batch.
TAP_BATCHES = ListedCounter(
    name="meshscribe_tap_batches_total",
    unit="batches",
    means="Tap batches by result",
    act="`busy`, `timeout`, `disconnected` grow: the filter posts again, so look at /readyz and the journal. `unauthorized`, `forbidden`:"
    " somebody reports as a proxy that it is not, or the mesh's identities are not set up (docs/install.md). The others: a filter of"
    " another version, or no filter.",
    labels={
        "result": (
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
    },
    roles=LISTENING,
)
TAP_BYTES = ListedCounter(
    name="meshscribe_tap_bytes_total",
    unit="bytes",
    means="Bytes of accepted tap batches, decompressed",
    act="Stands still while models are called: no filter sends (docs/install.md). Grows fast: the journal and the store will too.",
    roles=LISTENING,
)
TAP_UNKNOWN_LEVELS = ListedCounter(
    name="meshscribe_tap_unknown_levels_total",
    unit="batches",
    means="Accepted batches with a level this version does not know",
    act="The filter is newer than the collector: update the collector. The batches are kept.",
    roles=LISTENING,
)
TAP_APPEND_SECONDS = ListedHistogram(
    name="meshscribe_tap_append_seconds",
    unit="seconds",
    means="Time until a tap batch was durable",
    act="Above 0.5 s for long: the journal's disk, or Kafka, is too slow; filters soon drop what their queues cannot hold.",
    # Coarse on purpose: an fsync takes from 0.1 ms (good disk) to 100 ms (busy network volume).
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5),
    roles=LISTENING,
)

# Envoy's access log service. `result`: accepted, or why not; `refused`: the journal had no room.
_LOG_RESULTS = ("accepted", "malformed", "excessive", "unauthorized", "forbidden", "refused")
ACCESS_LOG_MESSAGES = ListedCounter(
    name="meshscribe_access_log_messages_total",
    unit="messages",
    means="Access log messages by result",
    act="As `meshscribe_access_log_entries_total`. `unauthorized` counts streams: they are ended before anything is read.",
    labels={"result": _LOG_RESULTS},
    roles=LISTENING,
)
ACCESS_LOG_ENTRIES = ListedCounter(
    name="meshscribe_access_log_entries_total",
    unit="entries",
    means="Access log entries by result",
    act="`refused` grows: entries are lost, since Envoy sends each once: make room for the journal. `unauthorized`, `forbidden`: the"
    " mesh's identities (docs/install.md). `malformed`, `excessive`: whoever sends is no Envoy.",
    labels={"result": _LOG_RESULTS},
    roles=LISTENING,
)
ACCESS_LOG_BYTES = ListedCounter(
    name="meshscribe_access_log_bytes_total",
    unit="bytes",
    means="Bytes of accepted access log messages",
    act="Stands still while models are called: the mesh's access log service does not point here (docs/install.md).",
    roles=LISTENING,
)
ACCESS_LOG_STREAMS = ListedGauge(
    name="meshscribe_access_log_streams",
    unit="streams",
    means="Access log streams open now",
    act="About one for each worker thread of each proxy that had traffic. Falls to 0: nobody reaches the port, or the mesh's"
    " configuration is gone.",
    roles=LISTENING,
)

# Messages that found no room (receive/shares.py). `share_…`: their sender has too much there.
INGEST_REFUSED = ListedCounter(
    name="meshscribe_ingest_refused_total",
    unit="messages",
    means="Messages of proxies that found no room",
    act="`share_…`: /readyz (`ingest`) names the senders that flood (docs/shares.md). `waiting`: the disk, or Kafka, is slower than what"
    " comes.",
    labels={"reason": ("share_processing", "share_quota", "share_waiting", "waiting")},
    roles=LISTENING,
)

CLOCK_STEPS = ListedCounter(
    name="meshscribe_clock_steps_total",
    unit="steps",
    means="Times that the machine's clock was set",
    act="Look at the machine's time service. Nothing is lost; dates of what came meanwhile may be wrong (docs/api.md).",
    labels={"direction": ("ahead", "back")},
    roles=tuple(Role),
)
