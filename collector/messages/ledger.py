"""The names of a ledger window's counts: written once, for the correlator, the store, the API and the metrics.

A loss is what was announced and did not come; a gap is an exchange that lacks a witness where one was expected.
"""

from __future__ import annotations

from typing import Final

# Ends of streams that the tap told of.
ANNOUNCED: Final = "announced"  # by the totals of the proxy's newest batch
RECEIVED = "received"  # came
MISSING = "missing"  # are in batches that did not come; `cured` takes back those that come after all
UNANNOUNCED = "unannounced"  # came beyond what the totals spoke of: the proxy's totals are wrong

# Access log entries (ends of exchanges) that came.
ACCESS_LOG_ENTRIES = "access_log_entries"

# Exchanges closed, by witnesses, each counted once (later revisions do not count again).
BOTH, TAP_ONLY, ACCESS_LOG_ONLY = "both", "tap_only", "access_log_only"
WITHOUT_TAP: Final = "without_tap"  # of access_log_only: those of which a tap was expected
WITHOUT_ACCESS_LOG: Final = "without_access_log"  # of tap_only: those of which an access log entry was expected
GAPS = (WITHOUT_TAP, WITHOUT_ACCESS_LOG)
CURABLE = (MISSING, *GAPS)

LATE = "late"  # pieces that came after their exchange was closed

# By reason.
DROPPED = "dropped"  # ends that the tap dropped before it sent them
REFUSED = "refused"  # access log entries that the collector refused
MALFORMED = "malformed"  # messages that could not be read, and dead letters

COUNTS = (ANNOUNCED, RECEIVED, MISSING, BOTH, TAP_ONLY, ACCESS_LOG_ONLY, WITHOUT_TAP, WITHOUT_ACCESS_LOG, LATE, ACCESS_LOG_ENTRIES)
BY_REASON = (DROPPED, REFUSED, MALFORMED)
LOSSES = (MISSING, *BY_REASON)
ACCOUNT = (ANNOUNCED, RECEIVED, DROPPED, MISSING)  # the first is the sum of the others
