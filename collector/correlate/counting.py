"""Counts closed exchanges by their witnesses, and the gaps among them: those that lack a witness where one was expected."""

from __future__ import annotations

from functools import lru_cache

from collector.correlate.ledger import Ledger
from collector.correlate.state import Gap, Open, Proxy
from collector.messages.completeness import Completeness
from collector.messages.ledger import ACCESS_LOG_ONLY, BOTH, TAP_ONLY, WITHOUT_ACCESS_LOG, WITHOUT_TAP

_COMPLETE = int(Completeness.COMPLETE)
_NOT_TAPPED = int(Completeness.NOT_TAPPED)
_TAP_MISSING = int(Completeness.TAP_MISSING)
_ACCESS_LOG_MISSING = int(Completeness.ACCESS_LOG_MISSING)


def count(ledger: Ledger, proxy: Proxy, open_: Open, completeness: int, is_probe: bool) -> None:
    """This one is closed. It counts once, by the witnesses that it had when it was first closed; what a revision of that brings is cured.

    A probe makes no record, so it is no gap.
    """
    counts = ledger.of(proxy).counts
    if is_probe or open_.revision > open_.interims:
        _again(ledger, proxy, open_, is_probe)
        name = "probes" if is_probe else "revisions"
        late = "completed_late" if completeness & _COMPLETE and not is_probe else None
    else:
        name = _witnesses(open_)
        late = "complete" if completeness & _COMPLETE else "not_tapped" if completeness & _NOT_TAPPED else None
        gap = WITHOUT_TAP if completeness & _TAP_MISSING else WITHOUT_ACCESS_LOG if completeness & _ACCESS_LOG_MISSING else None
        if gap is not None:
            counts[gap] = counts.get(gap, 0) + 1
            open_.gap = _gap(gap, ledger.start_us)
    counts[name] = counts.get(name, 0) + 1
    if late is not None:
        counts[late] = counts.get(late, 0) + 1


@lru_cache(4)
def _gap(name: str, window: int) -> Gap:
    """One for all exchanges that lack the same in this window."""
    return name, window


def _again(ledger: Ledger, proxy: Proxy, open_: Open, is_probe: bool) -> None:
    if open_.gap is not None and (is_probe or (open_.tap is not None and open_.access_log is not None)):
        ledger.cure(proxy, *open_.gap)
        open_.gap = None


def _witnesses(open_: Open) -> str:
    if open_.tap is None:
        return ACCESS_LOG_ONLY
    return TAP_ONLY if open_.access_log is None else BOTH
