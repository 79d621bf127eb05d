"""The items and totals of GET /v1/ledger, made of rows and sums. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from collector.audit import ledger_queries as queries
from collector.audit.moments import rfc3339
from collector.audit.verdicts import Facts, Verdict, judge
from collector.messages.ledger import ACCESS_LOG_ENTRIES, ANNOUNCED, BY_REASON, CURABLE
from collector.messages.ledger_data import LARGEST
from collector.store.sql_types import FoundRow

T = TypeVar("T")
REASONS_DAMAGED = "reasons_damaged"  # stands for the reasons that nobody can read any more
AWAY_TOLD = 100  # of the times that the collector was away; `times_away` counts all
_DAMAGED = "the window's JSON is damaged: what follows is of the row's columns alone (meshscribe verify)"


class Cures(msgspec.Struct):
    """What a window says of earlier ones: the count, the start of the window that counted it, and how many came after all."""

    cured: dict[str, dict[datetime, int]] = {}


_window = msgspec.json.Decoder(dict[str, object]).decode
_cures = msgspec.json.Decoder(Cures).decode


def read_window(data: object) -> dict[str, object] | None:
    """All that the window says; None: it is damaged."""
    return _read(_window, data)


def read_cures(data: object) -> Cures | None:
    """What the window takes back; None: it is damaged."""
    return _read(_cures, data)


def _read(decode: Callable[[bytes], T], data: object) -> T | None:
    if not isinstance(data, bytes):  # SQLite reads text, a number or nothing where a bit of the row's head is flipped
        return None
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Reasons:
    """Losses by reason, of several windows."""

    def __init__(self) -> None:
        self.by: dict[str, Counter[str]] = {name: Counter() for name in BY_REASON}

    def take(self, row: FoundRow, stored: Mapping[str, object] | None) -> None:
        """Adds those of a window's data; of damaged data (None) what the row's columns say."""
        for name, counter in self.by.items():
            if stored is None:
                counter.update({REASONS_DAMAGED: number} if (number := _number(row, name)) else {})
                continue
            found = stored.get(name)
            if isinstance(found, dict):
                counter.update({reason: number for reason, number in found.items() if isinstance(number, int) and reason != "total"})

    def add(self, other: Reasons) -> None:
        for name, counter in self.by.items():
            counter.update(other.by[name])


class Absences:
    """When the collector was away: how often, the newest spans, and the newest of these as they are told."""

    def __init__(self, times: int, spans: Sequence[tuple[int, int]], told: Sequence[dict[str, object]]) -> None:
        self.times, self.told = times, told
        self._starts = sorted(min(span) for span in spans)
        self._ends = sorted(max(span) for span in spans)

    def within(self, first_us: int, last_us: int) -> int:
        """How many of the spans touch this one: those that began before its end, without those that had ended before its start."""
        return bisect_left(self._starts, last_us) - bisect_left(self._ends, min(first_us, last_us))


def window(row: FoundRow, cured: Mapping[str, int], away: Absences) -> dict[str, object]:
    """One window of one proxy. Counts without a column of their own are in the stored JSON only."""
    stored = read_window(row.data)
    reasons = Reasons()
    reasons.take(row, stored)
    counts = {name: _number(row, name) for name in queries.SUMMED}
    length_us = _number(row, "window_us")
    start_us = _number(row, "time_us")
    facts = Facts(counts, reasons.by, cured, away.within(start_us, start_us + length_us), log_only=_is_log_only(counts))
    lies = {"start": rfc3339(start_us), "seconds": length_us / 1_000_000}
    more = _more(row, stored) if stored is not None else {"damaged": True, "why": _DAMAGED}
    return {**more, **_names(row), "window": lies, **_numbers(facts, judge(facts))}


def _more(row: FoundRow, stored: Mapping[str, object]) -> dict[str, object]:
    more = {name: value for name, value in stored.items() if name not in row._fields and name not in BY_REASON}
    return {**more, "cures": stored["cured"]} if "cured" in stored else more


def proxy(row: FoundRow, reasons: Reasons, cured: Mapping[str, int], away: Absences) -> dict[str, object]:
    """All windows of one proxy."""
    counts = _sums(row)
    touching = away.within(int(row.first_us or 0), int(row.last_us or 0))
    facts = Facts(counts, reasons.by, cured, touching, log_only=_is_log_only(counts))
    return {**_names(row), **_extent(row), **_numbers(facts, judge(facts))}


def totals(
    row: FoundRow,
    reasons: Reasons,
    cured: Sequence[Mapping[str, int]],
    away: Absences,
    losers: Sequence[tuple[str, int]],
    end_us: int | None,
    asked_to_us: int,
    log_only: int,
) -> dict[str, object]:
    """All that matches. `end_us`: up to when there are windows. `log_only`: proxies that announced nothing."""
    back: Counter[str] = Counter()
    for one in cured:
        back.update(one)
    as_of = rfc3339(min(int(end_us), asked_to_us)) if end_us is not None else None
    behind = as_of if as_of is not None and end_us is not None and end_us < asked_to_us else ""
    facts = Facts(_sums(row), reasons.by, back, away.times, losers, int(row.proxies), behind, log_only)
    said = {"proxies": int(row.proxies), "log_only": log_only, **_extent(row), **_numbers(facts, judge(facts))}
    return {**said, "away": list(away.told), **({"as_of": as_of} if as_of is not None else {})}


def absence(row: FoundRow) -> dict[str, object]:
    """When the collector was away, and why if that is known."""
    start_us, end_us = span_away(row)
    said: dict[str, object] = {"from": rfc3339(start_us), "to": rfc3339(end_us)}
    stored = (read_window(row.data) or {}).get("away")
    if isinstance(stored, dict):
        if isinstance(stored.get("reason"), str):
            said["reason"] = stored["reason"]
        if stored.get("clock_suspect"):
            said["clock_suspect"] = True
    return said


def span_away(row: FoundRow) -> tuple[int, int]:
    """From when to when; of a damaged row what of it is there."""
    known = [one for one in (row.away_from_us, row.away_to_us) if one is not None] or [0]
    return known[0], known[-1]


def _is_log_only(counts: Mapping[str, int]) -> bool:
    return counts[ACCESS_LOG_ENTRIES] > 0 and not counts[ANNOUNCED]


def _number(row: FoundRow, name: str) -> int:
    """A column's; of a damaged one, which may be text or nothing, 0."""
    value = getattr(row, name)
    return value if isinstance(value, int) else 0


def _names(row: FoundRow) -> dict[str, object]:
    names = {"node": row.node or "", "sender": row.sender or None, "namespace": row.namespace, "workload": row.workload}
    return {name: value for name, value in names.items() if value is not None}


def _sums(row: FoundRow) -> dict[str, int]:
    return {name: queries.whole(row, name) for name in queries.SUMMED}


def _extent(row: FoundRow) -> dict[str, object]:
    times = {"first": row.first_us, "last": row.last_us}
    return {"windows": int(row.windows), **{name: rfc3339(int(us)) for name, us in times.items() if us is not None}}


def _numbers(facts: Facts, verdict: Verdict) -> dict[str, object]:
    """What JSON readers take for an integer has 64 bits at most: sums beyond stand still there."""
    said: dict[str, object] = {name: min(number, LARGEST) for name, number in facts.counts.items()}
    for name in BY_REASON:
        by = {reason: min(number, LARGEST) for reason, number in facts.reasons[name].items()}
        said[name] = {**by, "total": said[name]}
    said["cured"] = {name: min(facts.cured.get(name, 0), LARGEST) for name in CURABLE}
    lost, gaps = min(verdict.lost, LARGEST), min(verdict.gaps, LARGEST)
    return {**said, "lost": lost, "gaps": gaps, "times_away": facts.away, "state": verdict.state, "verdict": verdict.text}
