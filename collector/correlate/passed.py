"""Which exchanges carry the same answer: an application in front of a model (a gateway of models, a guardrail) passes on what the model
told, and both proxies report it with its usage. Whoever of them is first told is billed.

Two exchanges of different workloads are the same answer if one lies within the other in time, they tell the same number, and
- they have the answer's own id in common, which one workload gives to no other answer;
- or the request's id or the trace, and the inner call came from the workload of the outer one. Without that, two models that an agent asks
  side by side, and that stop at the same limit, would be one. Where nobody told who called, all numbers and the times must fit instead.

What is remembered is a part of the state that a checkpoint holds, so a replay decides as before. Bounded in number and, by the exchanges'
own times, in time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from collector.correlate.state import Carried

MOST = 8_192  # exchanges
_SPAN_US = 300_000_000  # what ended so long before is forgotten
_SKEW_US = 2_000_000  # proxies' clocks may differ by it
_TIGHT_US = 10_000  # where the times are evidence
_OF_ONE_ID = 32  # exchanges that are looked at


class Passed:
    """`most`: exchanges that are remembered."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = OrderedDict[bytes, Carried]()  # by exchange, as they were told; its first is found at once, which a dict's is not
        self._by_id: dict[bytes, list[Carried]] = {}

    def is_first(self, one: Carried) -> bool:
        """Whether no other workload's exchange told this answer; for revisions the same as before. It is remembered from now on."""
        known = self._kept.get(one.exchange)
        if known is not None:
            return known.first
        one.first = not any(_is_same(one, other, by_id) for other, by_id in self._others(one))
        self._keep(one)
        return one.first

    def snapshot(self) -> list[Carried]:
        """For a checkpoint."""
        return list(self._kept.values())

    def restore(self, saved: Iterable[Carried]) -> None:
        """Goes on from there."""
        self._kept.clear()
        self._by_id.clear()
        for one in saved:
            self._keep(one)

    def _others(self, one: Carried) -> Iterator[tuple[Carried, bool]]:
        """What may be the same answer, and whether the answer's own id says so."""
        if answer := self._by_id.get(one.answer):
            owners = [other.owner for other in answer]
            if one.owner not in owners and len(set(owners)) == len(owners):
                yield from ((other, True) for other in answer)
        for id_ in (one.request, one.trace):
            if same := self._by_id.get(id_):
                yield from ((other, False) for other in same)

    def _keep(self, one: Carried) -> None:
        for id_ in (one.answer, one.request, one.trace):
            if id_:
                same = self._by_id.setdefault(id_, [])
                same.append(one)
                if len(same) > _OF_ONE_ID:
                    del same[0]
        self._kept[one.exchange] = one
        while True:
            oldest = next(iter(self._kept.values()))
            if len(self._kept) <= self._most and oldest.end_us >= one.end_us - _SPAN_US:
                return
            self._forget(oldest)

    def _forget(self, oldest: Carried) -> None:
        del self._kept[oldest.exchange]
        for id_ in (oldest.answer, oldest.request, oldest.trace):
            same = self._by_id.get(id_, [])
            if same and same[0] is oldest:
                del same[0]
            if not same:
                self._by_id.pop(id_, None)


def _is_same(one: Carried, other: Carried, by_id: bool) -> bool:
    if one.owner == other.owner or one.used != other.used:
        return False
    return any(_is_within(inner, outer) and (by_id or _led(outer, inner)) for inner, outer in ((one, other), (other, one)))


def _led(outer: Carried, inner: Carried) -> bool:
    """Whether the inner call came from the workload of the outer one. Both of one host stand side by side."""
    if inner.caller_host and inner.caller_host == outer.caller_host:
        return False
    for own, caller in ((outer.host, inner.caller_host), (outer.account, inner.caller_account)):
        if own and caller:
            return own == caller
    return outer.numbers == inner.numbers and _is_within(inner, outer, _TIGHT_US)


def _is_within(inner: Carried, outer: Carried, skew_us: int = _SKEW_US) -> bool:
    return inner.start_us >= outer.start_us - skew_us and inner.end_us <= outer.end_us + skew_us
