"""Metrics of the services: what is known of them, how fresh it is, how the store takes their versions, how each watch fares."""

from __future__ import annotations

from collector.metrics.metric import STORING, ListedCounter, ListedGauge

VERSIONS = ListedGauge(
    name="meshscribe_services_versions",
    unit="versions",
    means="Versions of services in memory",
    act="Grows without end: services change all the time; old versions are pruned after `sink.retention_days`.",
    roles=STORING,
)
REFUSED = ListedCounter(
    name="meshscribe_services_refused_total",
    unit="services",
    means="Services for which the catalogue had no room",
    act="Grows: records of those services lack annotations. Watch fewer namespaces.",
    roles=STORING,
)

# Of the source: the watch of the API server, or the file's reader.
_SOURCE = "`services.source` other than `none`"
ALIVE = ListedGauge(
    name="meshscribe_services_alive",
    unit="0 or 1",
    means="1 while the watch (or the file's reader) runs",
    act="0 for a minute: an error of ours: report it with the log. It starts again by itself.",
    roles=STORING,
    when=_SOURCE,
)
SYNCED = ListedGauge(
    name="meshscribe_services_synced",
    unit="0 or 1",
    means="1 once everything was listed",
    act="0 for minutes: `meshscribe_services_watch_state` says what keeps it.",
    roles=STORING,
    when=_SOURCE,
)
AGE_SECONDS = ListedGauge(
    name="meshscribe_services_age_seconds",
    unit="seconds",
    means="Since the source last told anything",
    act="Above 120: the watch hears nothing; look at the API server and the way to it.",
    roles=STORING,
    when=f"{_SOURCE}, and it has told something",
)

# Of saving versions.
_KEPT = "a store for versions"
SAVED = ListedCounter(
    name="meshscribe_services_saved_total",
    unit="versions",
    means="Versions saved to the store",
    act="Grows with each change of a service.",
    roles=STORING,
    when=_KEPT,
)
WAITING = ListedGauge(
    name="meshscribe_services_waiting",
    unit="versions",
    means="Versions that wait for the store",
    act="Not 0 for minutes: the store takes nothing; see `services` in /readyz.",
    roles=STORING,
    when=_KEPT,
)
DROPPED = ListedCounter(
    name="meshscribe_services_dropped_total",
    unit="versions",
    means="Versions that were not saved: bound reached, or refused",
    act="Grows: after a restart these versions are unknown; the log says why.",
    roles=STORING,
    when=_KEPT,
)
SAVE_FAILURES = ListedCounter(
    name="meshscribe_services_save_failures_total",
    unit="tries",
    means="Tries to save that failed",
    act="Grows: the store is away, or the topic `kafka.services_topic` is missing. It is tried again.",
    roles=STORING,
    when=_KEPT,
)
PRUNED = ListedCounter(
    name="meshscribe_services_pruned_total",
    unit="versions",
    means="Versions deleted from the store, as superseded",
    act="Nothing to do: retention works.",
    roles=STORING,
    when=_KEPT,
)

# Of each watch, by kind and namespace.
_WATCH = {"kind": "what is watched; `file`, `store` where a file or the store is read", "namespace": "the watched namespace; empty: all"}
WATCH_STATE = ListedGauge(
    name="meshscribe_services_watch_state",
    unit="0 or 1",
    means="1 for the state of each watch: starting, listed, watching, missing (no CRD), forbidden (RBAC), failing, dead, stopped",
    act="`forbidden`: grant the rights (docs/services.md). `missing`: install the CRD, if there should be one. `failing`: the API server.",
    labels={**_WATCH, "state": ("starting", "listed", "watching", "missing", "forbidden", "failing", "dead", "stopped")},
    roles=STORING,
    when=_SOURCE,
)
WATCH_OBJECTS = ListedGauge(
    name="meshscribe_services_watch_objects",
    unit="services",
    means="Services that it sees now",
    act="Falls to 0: somebody deleted them, or the watched namespaces are wrong.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
WATCH_EVENTS = ListedCounter(
    name="meshscribe_services_watch_events_total",
    unit="changes",
    means="Changes that it was told",
    act="Grows by many a second: a controller writes to the services all the time.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
WATCH_LISTS = ListedCounter(
    name="meshscribe_services_watch_lists_total",
    unit="lists",
    means="Complete lists that it read",
    act="Grows steadily: watches do not last; look at the API server and at proxies on the way.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
WATCH_GONE = ListedCounter(
    name="meshscribe_services_watch_gone_total",
    unit="answers",
    means="Answers 410: the version to resume from had expired",
    act="Now and then is ordinary: it lists anew.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
WATCH_ERRORS = ListedCounter(
    name="meshscribe_services_watch_errors_total",
    unit="failures",
    means="Failures of the API server or of the way to it",
    act="Grows steadily: the log says what fails; look at the API server.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
WATCH_MALFORMED = ListedCounter(
    name="meshscribe_services_watch_malformed_total",
    unit="objects",
    means="Objects without uid, name or namespace",
    act="Grows: what answers is no API server, or the file lacks names.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
WATCH_CRASHES = ListedCounter(
    name="meshscribe_services_watch_crashes_total",
    unit="ends",
    means="Ends by an error of ours",
    act="Grows: report it with the log.",
    labels=_WATCH,
    roles=STORING,
    when=_SOURCE,
)
