"""Metrics of the audit API."""

from __future__ import annotations

from collector.metrics.metric import ListedCounter, ListedHistogram, Role

_ROUTE = "the route's template (`/v1/exchanges/{id}`), `none` if there is no such route"
REQUESTS = ListedCounter(
    name="meshscribe_audit_requests_total",
    unit="requests",
    means="Requests of the audit API.",
    act="`503` grows: queries are given up after `audit.query_seconds`: ask for shorter times, or look at the store. `429`: one client asks"
    " too much. `500`: a fault of ours: report it with the log's id.",
    labels={"route": _ROUTE, "status": "HTTP status of the answer; 0: the client left before it"},
    roles=(Role.ALL, Role.AUDIT),
    when="a SQL sink",
)
REQUEST_SECONDS = ListedHistogram(
    name="meshscribe_audit_request_seconds",
    unit="seconds",
    means="Time to answer.",
    act="Grows: the store has become slow, or somebody asks for long times; docs/postgres.md says what a query costs.",
    labels={"route": _ROUTE},
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    roles=(Role.ALL, Role.AUDIT),
    when="a SQL sink",
)
LOOKS = ListedCounter(
    name="meshscribe_looks_total",
    unit="looks",
    means="Looks at the log (docs/looks.md).",
    act="`late`, `withheld` or `lost` grows: the store does not take them: it is locked or full, or its user may not write to `looks`."
    " `flood` grows: somebody who proves nobody asks all the time; the log names his address.",
    labels={
        "outcome": (
            "written",
            "late",
            "withheld",
            "lost",
            "flood",
        )
    },
    roles=(Role.ALL, Role.AUDIT),
    when="a SQL sink",
)
