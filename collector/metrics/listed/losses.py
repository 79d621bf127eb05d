"""Metrics of the ledger: what proxies say that they sent, against what came. Counted when a window is stored, over all proxies.

They begin at 0 after a restart. What lasts, and what is told by proxy, is the ledger itself.
"""

from __future__ import annotations

from typing import get_args

from collector.messages.ledger import CURABLE
from collector.messages.usage import ClassName, UsageAbsence
from collector.metrics.metric import PROCESSING, ListedCounter

ANNOUNCED = ListedCounter(
    name="meshscribe_ledger_announced_total",
    unit="ends of streams",
    means="The ledger's announced, over all proxies",
    act="What taps say they saw, to compare with.",
    roles=PROCESSING,
)
RECEIVED = ListedCounter(
    name="meshscribe_ledger_received_total",
    unit="ends of streams",
    means="The ledger's received, over all proxies",
    act="Below `announced` for long: see `missing` and `dropped`.",
    roles=PROCESSING,
)
MISSING = ListedCounter(
    name="meshscribe_ledger_missing_total",
    unit="ends of streams",
    means="The ledger's missing, over all proxies",
    act="Grows, and `cured` does not follow: the filter gave batches up. `meshscribe ledger` says of which proxy (docs/ledger.md).",
    roles=PROCESSING,
)
ACCESS_LOG_ENTRIES = ListedCounter(
    name="meshscribe_ledger_access_log_entries_total",
    unit="entries",
    means="The ledger's access_log_entries, over all proxies",
    act="Stands still while `received` grows: the access log service is not set up.",
    roles=PROCESSING,
)
WITHOUT_TAP = ListedCounter(
    name="meshscribe_ledger_without_tap_total",
    unit="exchanges",
    means="The ledger's without_tap, over all proxies",
    act="Grows: a pod that should have the filter tells nothing by it: is it loaded? (docs/ledger.md)",
    roles=PROCESSING,
)
WITHOUT_ACCESS_LOG = ListedCounter(
    name="meshscribe_ledger_without_access_log_total",
    unit="exchanges",
    means="The ledger's without_access_log, over all proxies",
    act="Grows beyond restarts of the collector: log entries are not sent, or refused (docs/restarts.md).",
    roles=PROCESSING,
)

# Reasons come from outside, so their number is bounded (LedgerMetrics).
_REASON = {"reason": "the first 32 that came, then `other`"}
DROPPED = ListedCounter(
    name="meshscribe_ledger_dropped_total",
    unit="ends of streams",
    means="The ledger's dropped, by reason",
    act="Grows: the filter's queue was full: the collector was slow or away. Look at /readyz and the load (docs/ledger.md).",
    labels=_REASON,
    roles=PROCESSING,
)
REFUSED = ListedCounter(
    name="meshscribe_ledger_refused_total",
    unit="entries",
    means="The ledger's refused, by reason",
    act="Grows: log entries are lost for want of room: raise `journal.quota_bytes`, find what keeps the sink, or who floods.",
    labels=_REASON,
    roles=PROCESSING,
)
MALFORMED = ListedCounter(
    name="meshscribe_ledger_malformed_total",
    unit="messages",
    means="The ledger's malformed, by reason",
    act="`dead_letter_…`: docs/dead-letters.md. Others: a filter of another version, or somebody who does not speak the protocol.",
    labels=_REASON,
    roles=PROCESSING,
)
CURED = ListedCounter(
    name="meshscribe_ledger_cured_total",
    unit="as `count` says",
    means="What was counted and came after all",
    act="Take it off `missing`, `without_tap`, `without_access_log` in alerts (docs/ledger.md).",
    labels={"count": CURABLE},
    roles=PROCESSING,
)
AWAY_SECONDS = ListedCounter(
    name="meshscribe_ledger_away_seconds_total",
    unit="seconds",
    means="Time in which the collector took nothing",
    act="`hung`: too little CPU, or a suspended machine. `killed`: out of memory, or a fault: the log before it. `damaged`: docs/damage.md."
    " `stopped`: roll-outs.",
    labels={"reason": ("stopped", "killed", "hung", "damaged", "unknown", "other")},
    roles=PROCESSING,
)

# What nobody can be billed for, though a model may have worked.
_SERVICE = "namespace/name, the first 256 that came, then `other`; `unknown` where one of the two is not known"
CALLS_WITHOUT_USAGE = ListedCounter(
    name="meshscribe_calls_without_usage_total",
    unit="calls",
    means="Calls without usage, at the hop that is billed",
    act="`not_asked`, `not_told`: let the server tell it always. `capture_limit`: raise the tap's limit, or look for what is lost."
    " `unknown_protocol`: look at the paths. The rest needs nothing, if it is rare (docs/decoding.md).",
    labels={"service": _SERVICE, "reason": get_args(UsageAbsence)},
    roles=PROCESSING,
)
MIRRORED_CALLS = ListedCounter(
    name="meshscribe_mirrored_calls_total",
    unit="calls",
    means="Calls that are not billed because their host ends in `-shadow`, as that of copies does which a route's mirror makes",
    act="Where no route mirrors to this service: a caller names such a host. Look who does (`caller` of records whose `hop.rule` is"
    " `mirrored`), deny hosts that are not the service's own, or set `usage.bill_mirrored` (docs/usage-event.md).",
    labels={"service": _SERVICE},
    roles=PROCESSING,
)

# What was used, at the hop that is billed. To watch, and not to bill: revisions are not in it (docs/usage-query.md).
_BILLED = "namespace/name; `unknown` where one of the two is not known; `other` beyond the setting `usage.metric_keys`"
USAGE_CALLS = ListedCounter(
    name="meshscribe_usage_calls_total",
    unit="calls",
    means="Calls at the hop that is billed",
    act="Nothing. `GET /v1/usage` has the sums to the unit.",
    labels={"service": _BILLED, "model": "the model that was asked; likewise"},
    roles=PROCESSING,
)
USAGE_TOKENS = ListedCounter(
    name="meshscribe_usage_tokens_total",
    unit="tokens",
    means="Their tokens by class, each once",
    act="Stands still while `meshscribe_usage_calls_total` grows: the server tells no usage; see `meshscribe_calls_without_usage_total`.",
    labels={"service": _BILLED, "model": "the model that was asked; likewise", "class": get_args(ClassName)},
    roles=PROCESSING,
)
