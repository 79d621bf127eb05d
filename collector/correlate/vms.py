"""The tap filters' instances: which of their batches came, and by how much their totals grew.

One that was not heard for `QUIET_US`, or the longest unheard beyond `vms_kept`, is forgotten but for a number of eight bytes, of which
`FORGOTTEN_KEPT` are kept. What it says afterwards begins a new count at its first batch (`rebased_vms`): what it had announced before was
counted, so nothing counts twice; what it lost while it was forgotten is not known. One that even this number is forgotten of is new:
what it announced before counts again, as missing.

The batches of a VM that did not come are holes: spans of sequences, each with the ends that were in them, so a jump of any length costs one
span. A batch that comes after all splits its span; its own totals say which of the span's ends lie before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from operator import attrgetter
from typing import TYPE_CHECKING

from collector.correlate.numbers import DAY_US, MAX
from collector.correlate.state import Counts, Hole, Proxy, Vm, VmKey
from collector.messages import tap_pb2
from collector.messages.ledger import ANNOUNCED, MISSING, RECEIVED, UNANNOUNCED

if TYPE_CHECKING:
    from collector.correlate.ledger import Ledger

FORGOTTEN_KEPT = 500_000
QUIET_US = 7 * DAY_US
NAME_CHARS = 1024
TOTAL_LIMIT = 1 << 44  # a VM that says it ended more streams is not believed
DROPS_READ = 64  # there are few reasons: what is told beyond is not read
HOLES_KEPT = 64  # of a VM; beyond, the oldest is forgotten: a batch of it that comes after all is taken for a repeat
_FIRST = attrgetter("first")
WENT_BACK, OUT_OF_RANGE = "totals_went_back", "totals_out_of_range"

_REASONS = {value: name.lower() for name, value in tap_pb2.DropReason.items()}


class Vms:
    """What each VM told, under the proxy that it belongs to."""

    def __init__(self, ledger: Ledger, kept: int) -> None:
        self._ledger, self._kept = ledger, kept
        self.known: OrderedDict[VmKey, Vm] = OrderedDict()  # the longest unheard first
        self.forgotten: OrderedDict[int, None] = OrderedDict()

    def heard(self, proxy: Proxy, name: str, sequence: int, now: int) -> Vm | None:
        """The VM, if this batch of it did not come before."""
        key = (*proxy, name[:NAME_CHARS])
        vm = self.known.get(key)
        if vm is None:
            vm = self.known[key] = Vm(key[2])
            if len(self.known) > self._kept:
                self._forget(next(iter(self.known)))
        else:
            self.known.move_to_end(key)
        vm.heard_at = now
        if sequence > vm.top or _hole_of(vm, sequence) is not None:
            return vm
        self._ledger.add(proxy, "repeated_batches")
        return None

    def take(self, proxy: Proxy, vm: Vm, batch: tap_pb2.Batch, ends: int) -> None:
        """Takes a batch into account that has so many ends."""
        counts = self._ledger.of(proxy)
        if not vm.top and self.forgotten and self.forgotten.pop(_ash((*proxy, vm.name)), 0) is None:
            _rebase(vm, batch, ends)
            _add(counts.counts, "rebased_vms", 1)
        hole = _hole_of(vm, batch.sequence)
        if hole is None:
            self._newest(vm, batch, ends, counts)
        else:
            came = _fill(vm, hole, batch.sequence, batch.totals.ends_sealed, ends)
            _add(counts.counts, UNANNOUNCED, ends - came)
            if came:
                self._ledger.cure(proxy, MISSING, hole.window, came)
        _add(counts.counts, "batches", 1)

    def forget(self, now: int) -> None:
        """Forgets those that were not heard for long."""
        while self.known and next(iter(self.known.values())).heard_at <= now - QUIET_US:
            self._forget(next(iter(self.known)))

    def _newest(self, vm: Vm, batch: tap_pb2.Batch, ends: int, counts: Counts) -> None:
        """A batch above all that came: its totals hold, and what they announce besides its own ends is missing."""
        totals = batch.totals
        sealed = _believed(totals.ends_sealed, vm.ends_sealed, counts)
        grown = sealed - vm.ends_sealed
        came = min(ends, grown)
        if batch.sequence > vm.top + 1:
            hole = Hole(vm.top + 1, batch.sequence - 1, self._ledger.start_us, vm.ends_sealed, sealed - came)
            _open_hole(vm, hole)
        vm.top, vm.ends_sealed = batch.sequence, sealed
        dropped = _drops(vm, totals, counts)
        _add(counts.counts, ANNOUNCED, grown + dropped)
        _add(counts.counts, RECEIVED, came)
        _add(counts.counts, MISSING, grown - came)
        _add(counts.counts, UNANNOUNCED, ends - came)

    def _forget(self, key: VmKey) -> None:
        del self.known[key]
        self.forgotten[_ash(key)] = None
        while len(self.forgotten) > FORGOTTEN_KEPT:
            self.forgotten.popitem(last=False)


def _ash(key: VmKey) -> int:
    """What is left of a forgotten VM's name."""
    named = "\0".join(key).encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(named, digest_size=8).digest())


def _rebase(vm: Vm, batch: tap_pb2.Batch, ends: int) -> None:
    """Counts on from here, as if all before this batch had been counted."""
    scratch = Counts()
    vm.top = batch.sequence - 1
    vm.ends_sealed = max(_believed(batch.totals.ends_sealed, 0, scratch) - ends, 0)
    _drops(vm, batch.totals, scratch)


def _drops(vm: Vm, totals: tap_pb2.Totals, counts: Counts) -> int:
    """Adds what was dropped since the totals before. Returns how many ends of streams."""
    drops = totals.drops[:DROPS_READ]
    dropped = _grown(drops, vm.dropped, counts.dropped, counts)
    _grown(totals.abandoned[:DROPS_READ], vm.abandoned, counts.abandoned, counts)
    fragments, lost = min(sum(d.fragments for d in drops), MAX), min(sum(d.bytes for d in drops), MAX)
    if fragments > vm.fragments_dropped:
        _add(counts.counts, "fragments_dropped", fragments - vm.fragments_dropped)
        vm.fragments_dropped = fragments
    if lost > vm.bytes_dropped:
        _add(counts.counts, "bytes_dropped", lost - vm.bytes_dropped)
        vm.bytes_dropped = lost
    return dropped


def _grown(drops: Iterable[tap_pb2.Drop], before: dict[str, int], into: dict[str, int], counts: Counts) -> int:
    """Adds by reason what these totals grew by. Numbers of reasons that this version does not know are one: "other"."""
    told: dict[str, int] = {}
    for drop in drops:
        reason = _REASONS.get(drop.reason, "other")
        told[reason] = told.get(reason, 0) + drop.ends
    grown = 0
    for reason, ends in told.items():
        was = before.get(reason, 0)
        more = _believed(ends, was, counts) - was
        if more:
            before[reason] = was + more
            _add(into, reason, more)
            grown += more
    return grown


def _believed(told: int, before: int, counts: Counts) -> int:
    """A cumulative total: what was told, or what was told before if that can't be."""
    if before <= told <= TOTAL_LIMIT:
        return told
    _add(counts.malformed, WENT_BACK if told < before else OUT_OF_RANGE, 1)
    return before


def _add(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = min(counts.get(name, 0) + number, MAX)


def _hole_of(vm: Vm, sequence: int) -> Hole | None:
    """The span that this sequence is missing from."""
    at = bisect_right(vm.holes, sequence, key=_FIRST)
    return vm.holes[at - 1] if at and vm.holes[at - 1].last >= sequence else None


def _open_hole(vm: Vm, hole: Hole) -> None:
    """Remembers a span above all others."""
    vm.holes.append(hole)
    del vm.holes[:-HOLES_KEPT]


def _fill(vm: Vm, hole: Hole, sequence: int, sealed: int, ends: int) -> int:
    """A batch of this span came, with so many ends, when the VM's total was `sealed`. Returns how many of them the span was missing."""
    upto = min(max(sealed, hole.base), hole.upto)
    base = max(upto - ends, hole.base)
    at = vm.holes.index(hole)
    rest = []
    if hole.first < sequence:
        rest.append(Hole(hole.first, sequence - 1, hole.window, hole.base, base))
    if sequence < hole.last:
        rest.append(Hole(sequence + 1, hole.last, hole.window, upto, hole.upto))
    vm.holes[at : at + 1] = rest
    del vm.holes[:-HOLES_KEPT]
    return upto - base
