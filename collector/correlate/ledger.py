"""Counts, per proxy and window of received time, what was announced against what came. The windows are outputs like any other.

All numbers are differences and none is negative, so sums over windows are exact, whatever the windows' length:
announced = received + dropped + missing, for everything that the proxy's newest batch speaks of. What an earlier window counted as
missing, or as a gap, and came after all, is `cured` under that window's start; within its own window it is as if it had come in time.

Bounded: see the constants here and in vms.py. What is beyond `PROXIES_KEPT` in one window is counted under no name, a reason
beyond `REASONS_KEPT` under "other".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import msgspec

from collector.correlate.numbers import MAX
from collector.correlate.state import Counts, Proxy, Vm, VmKey
from collector.correlate.vms import Vms
from collector.messages.entry import Away, Entry, Incident, Kind
from collector.messages.exchange import Fault, LedgerWindow, Node
from collector.messages.ledger import MISSING, RECEIVED

PROXIES_KEPT = 10_000  # with counts in one window
REASONS_KEPT = 32  # of one kind, of one proxy in one window
COLLECTOR = Node("collector")
NOBODY: Proxy = ("", "")
OTHER = "other"
UNREADABLE_REFUSAL, UNREADABLE_AWAY = "unreadable_refusal", "unreadable_away"
BATCHES_REFUSED = "batches_refused"

_Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Refused(msgspec.Struct):
    """What a receiver had to drop (messages.entry.Kind.REFUSED). Without entries, they were tap batches: the filter sends those again."""

    reason: str
    messages: _Number = 0
    entries: _Number = 0


class Ledger:
    """The open window of every proxy."""

    def __init__(self, window_us: int, vms_kept: int) -> None:
        self.window_us = window_us
        self.start_us = 0
        self.open: dict[Proxy, Counts] = {}
        self.vms = Vms(self, vms_kept)

    def of(self, proxy: Proxy) -> Counts:
        """The open counts of this proxy."""
        counts = self.open.get(proxy)
        if counts is None:
            if len(self.open) >= PROXIES_KEPT and proxy != NOBODY:
                return self.of(NOBODY)
            counts = self.open[proxy] = Counts()
        return counts

    def add(self, proxy: Proxy, name: str, number: int = 1) -> None:
        """Adds to one count of this proxy's open window."""
        if number:
            counts = self.of(proxy).counts
            counts[name] = counts.get(name, 0) + number

    def malformed(self, proxy: Proxy, reason: str, number: int = 1) -> None:
        """Counts messages of this proxy that can't be read or believed."""
        add_to(self.of(proxy).malformed, reason, number)

    def cure(self, proxy: Proxy, name: str, window: int, number: int = 1) -> None:
        """What was counted in the window that began then has come after all."""
        counts = self.of(proxy)
        if window != self.start_us:
            cured = counts.cured.setdefault(name, {})
            cured[window] = cured.get(window, 0) + number
            return
        left = counts.counts.get(name, 0) - number
        if left > 0:
            counts.counts[name] = left
        else:
            counts.counts.pop(name, None)
        if name == MISSING:
            add_to(counts.counts, RECEIVED, number)

    def refused(self, proxy: Proxy, payload: bytes) -> None:
        """Takes in what a receiver had to drop (messages.entry.Kind.REFUSED)."""
        try:
            told = msgspec.json.decode(payload, type=Refused)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.malformed(proxy, UNREADABLE_REFUSAL)
            return
        counts = self.of(proxy)
        if told.reason == "malformed":
            add_to(counts.malformed, "unreadable_log", told.messages)
        elif told.entries:
            add_to(counts.refused, told.reason if _is_name(told.reason) else OTHER, told.entries)
        else:
            add_to(counts.counts, BATCHES_REFUSED, told.messages)

    def told(self, proxy: Proxy, entry: Entry, now: int) -> list[LedgerWindow | Fault]:
        """The window in which the collector took nothing (messages.entry.Kind.AWAY), or may lack something (Kind.INCIDENT)."""
        try:
            kind: type[Away] | type[Incident] = Away if entry.kind == Kind.AWAY else Incident
            told: Away | Incident = msgspec.json.decode(entry.payload, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.malformed(proxy, UNREADABLE_AWAY)
            return []
        span = max(told.to_us - told.from_us, 0)
        window = LedgerWindow(COLLECTOR, told.from_us, span, {}, {}, {}, away_us=(told.from_us, told.from_us + span))
        window.away_reason = told.reason
        if isinstance(told, Away):
            window.away_suspect = told.clock_suspect
            return [window]
        if told.cut:
            self.open = {}
        return [window, Fault(COLLECTOR, "journal", told.said, now, "application/json", entry.payload)]

    def flush(self, now: int, nodes: dict[Proxy, Node]) -> list[LedgerWindow]:
        """The windows that ended by `now` (µs), and a new one begins."""
        if now < self.start_us + self.window_us:
            return []
        start, self.start_us = self.start_us, now - now % self.window_us
        counted, self.open = self.open, {}
        self.vms.forget(now)
        return [
            LedgerWindow(
                nodes.get(proxy) or Node(proxy[1], sender=proxy[0]),
                start,
                self.window_us,
                c.counts,
                c.dropped,
                c.abandoned,
                c.refused,
                c.malformed,
                c.cured,
            )
            for proxy, c in counted.items()
            if c.counts or c.dropped or c.abandoned or c.refused or c.malformed or c.cured
        ]

    def restore(self, start_us: int, counted: list[tuple[Proxy, Counts]], vms: list[tuple[VmKey, Vm]], forgotten: list[int]) -> None:
        """Goes on from a checkpoint's content."""
        self.start_us, self.open = start_us, dict(counted)
        self.vms.known, self.vms.forgotten = OrderedDict(vms), OrderedDict.fromkeys(forgotten)


def add_to(counts: dict[str, int], name: str, number: int) -> None:
    """Adds to a count, within its bounds."""
    if not number:
        return
    if name not in counts and len(counts) >= REASONS_KEPT:
        name = OTHER
    counts[name] = min(counts.get(name, 0) + number, MAX)


def _is_name(reason: str) -> bool:
    return len(reason) <= 40 and reason.isascii() and reason.isidentifier()
