"""Counts, per proxy and window of received time, what was announced against what came. The windows are outputs like any other.

All numbers are differences, so sums over windows are exact, whatever the windows' length:
announced = received + dropped + missing, for everything that the proxy's newest batch speaks of.
"""

from __future__ import annotations

from typing import Any

import msgspec

from collector.correlate.state import Counts, Vm
from collector.messages import tap_pb2
from collector.messages.exchange import LedgerWindow, Node

HOLES_KEPT = 10_000  # missing sequences remembered per VM; an older one that comes after all is taken for a repeat

_REASONS = {value: name.lower() for name, value in tap_pb2.DropReason.items()}


class Ledger:
    """The open window of every proxy, and what each VM told of its totals."""

    def __init__(self, window_us: int) -> None:
        self.window_us = window_us
        self.start_us = 0
        self.vms: dict[str, Vm] = {}
        self.open: dict[str, Counts] = {}

    def of(self, node: str) -> Counts:
        """The open counts of this proxy."""
        counts = self.open.get(node)
        if counts is None:
            counts = self.open[node] = Counts()
        return counts

    def add(self, node: str, name: str, number: int = 1) -> None:
        """Adds to one count of this proxy's open window."""
        counts = self.of(node).counts
        counts[name] = counts.get(name, 0) + number

    def batch(self, node: str, batch: Any) -> bool:
        """Takes a tap batch into account. False: it came before (same VM and sequence), so nothing of it counts."""
        vm = self.vms.get(batch.vm)
        if vm is None:
            vm = self.vms[batch.vm] = Vm()
        sequence = batch.sequence
        if sequence <= vm.top and sequence not in vm.holes:
            self.add(node, "repeated_batches")
            return False
        counts = self.of(node)
        if sequence > vm.top:
            _open_holes(vm, sequence)
            vm.top = sequence
            _totals(vm, batch.totals, counts)
        else:
            del vm.holes[sequence]
        ends = sum(1 for part in batch.parts if part.HasField("end"))
        vm.received += ends
        _add(counts.counts, "received", ends)
        _add(counts.counts, "batches", 1)
        missing = vm.ends_sealed - vm.received
        _add(counts.counts, "missing", missing - vm.missing)
        vm.missing = missing
        return True

    def refused(self, node: str, payload: bytes) -> None:
        """Takes in what a receiver had to drop (messages.entry.Kind.REFUSED)."""
        try:
            counts = msgspec.json.decode(payload, type=dict[str, int | str])
        except msgspec.DecodeError:
            self.add(node, "malformed_entries")
            return
        for name, number in counts.items():
            if isinstance(number, int):
                self.add(node, f"refused_{name}", number)

    def flush(self, now: int, nodes: dict[str, Node]) -> list[LedgerWindow]:
        """The windows that ended by `now` (µs), and a new one begins."""
        if now < self.start_us + self.window_us:
            return []
        start, self.start_us = self.start_us, now - now % self.window_us
        counted, self.open = self.open, {}
        return [
            LedgerWindow(nodes.get(node) or Node(node), start, self.window_us, c.counts, c.dropped, c.abandoned)
            for node, c in counted.items()
            if c.counts or c.dropped or c.abandoned
        ]


def _open_holes(vm: Vm, sequence: int) -> None:
    for hole in range(max(vm.top + 1, sequence - HOLES_KEPT), sequence):
        vm.holes[hole] = None
    while len(vm.holes) > HOLES_KEPT:
        del vm.holes[next(iter(vm.holes))]


def _totals(vm: Vm, totals: Any, counts: Counts) -> None:
    """Adds what the cumulative totals grew by."""
    _add(counts.counts, "announced", totals.ends_sealed + _ends(totals.drops) - vm.ends_sealed - sum(vm.dropped.values()))
    vm.ends, vm.ends_sealed = totals.ends, totals.ends_sealed
    fragments = lost = 0
    for drop in totals.drops:
        reason = _REASONS.get(drop.reason, f"reason_{drop.reason}")
        _add(counts.dropped, reason, drop.ends - vm.dropped.get(reason, 0))
        vm.dropped[reason] = drop.ends
        fragments += drop.fragments
        lost += drop.bytes
    for drop in totals.abandoned:
        reason = _REASONS.get(drop.reason, f"reason_{drop.reason}")
        _add(counts.abandoned, reason, drop.ends - vm.abandoned.get(reason, 0))
        vm.abandoned[reason] = drop.ends
    _add(counts.counts, "fragments_dropped", fragments - vm.fragments_dropped)
    _add(counts.counts, "bytes_dropped", lost - vm.bytes_dropped)
    vm.fragments_dropped, vm.bytes_dropped = fragments, lost


def _ends(drops: Any) -> int:
    return sum(drop.ends for drop in drops)


def _add(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number
