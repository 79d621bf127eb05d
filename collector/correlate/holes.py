"""The batches of a VM that did not come, as spans of sequences, each with the ends that were in them: a jump of any length costs one span.

A batch that comes after all splits its span; its own totals say which of the span's ends lie before it.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

from collector.correlate.state import Hole, Vm

HOLES_KEPT = 64  # of a VM; beyond, the oldest is forgotten: a batch of it that comes after all is taken for a repeat
_FIRST = attrgetter("first")


def within(vm: Vm, sequence: int) -> Hole | None:
    """The span that this sequence is missing from."""
    at = bisect_right(vm.holes, sequence, key=_FIRST)
    return vm.holes[at - 1] if at and vm.holes[at - 1].last >= sequence else None


def open_hole(vm: Vm, hole: Hole) -> None:
    """Remembers a span above all others."""
    vm.holes.append(hole)
    del vm.holes[:-HOLES_KEPT]


def fill(vm: Vm, hole: Hole, sequence: int, sealed: int, ends: int) -> int:
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
