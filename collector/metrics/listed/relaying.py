"""Metrics of relays, and of retention that waits for them."""

from __future__ import annotations

from collector.metrics.metric import STORING, ListedCounter, ListedGauge, Role

# Role store's own copying into the SQL store is the relay `store`.
_RELAY = {"relay": "the names in `relays`; in role store `store` as well; where looks are written `looks`, with `access.to_kafka`"}
FAILING = ListedGauge(
    name="meshscribe_relay_failing",
    unit="0 or 1",
    means="1 while a relay's target or feed fails",
    act="1 for minutes: /readyz says since when and why (docs/relays.md). Nothing else waits for it.",
    labels=_RELAY,
    roles=STORING,
)
LAG = ListedGauge(
    name="meshscribe_relay_lag",
    unit="positions",
    means="Journal positions that a relay is behind",
    act="Grows while it does not fail: the target is slower than what comes.",
    labels=_RELAY,
    roles=STORING,
)
EVENTS = ListedCounter(
    name="meshscribe_relay_events_total",
    unit="events",
    means="Events that a relay's target took",
    act="Stands still while `meshscribe_relay_lag` is not 0: the relay hangs or fails.",
    labels=_RELAY,
    roles=STORING,
)
RETRIES = ListedCounter(
    name="meshscribe_relay_retries_total",
    unit="attempts",
    means="Attempts of a relay that failed",
    act="Grows steadily: the target answers, but refuses; the log says how.",
    labels=_RELAY,
    roles=STORING,
)
DEAD_LETTERS = ListedCounter(
    name="meshscribe_relay_dead_letters_total",
    unit="letters",
    means="What a relay gave up",
    act="Grows: the target refuses events for ever: `meshscribe dead-letters list` (docs/dead-letters.md).",
    labels=_RELAY,
    roles=STORING,
)
HELD_DAYS = ListedGauge(
    name="meshscribe_retention_held_days",
    unit="days",
    means="Days too old that a relay has not copied yet",
    act="Not 0: mend that relay, or take it out of the settings; after `sink.relay_grace_days` its backlog is deleted uncopied.",
    labels={"relay": "the names in `relays` that read the SQL store"},
    roles=(Role.ALL,),
    when="`sink.retention_days` and a SQL sink",
)
