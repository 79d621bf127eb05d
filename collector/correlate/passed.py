"""Which exchanges carry the same answer: an application in front of a model (a gateway of models, a guardrail) passes on what the model
told, and both proxies report it with its usage. Whoever of them is first told is billed.

Two exchanges of different workloads are the same answer if one lies within the other in time, they tell the same number, and
- they have the answer's own id in common, which one workload gives to no other answer;
- or the request's id or the trace, and the inner call came from the workload of the outer one. Without that, two models that an agent asks
  side by side, and that stop at the same limit, would be one. Where nobody told who called, all numbers and the times must fit instead.

What is remembered is a part of the state that a checkpoint holds, so a replay decides as before. Bounded in number, not by the exchanges'
own times: those are what a proxy says, and one that lies ahead would have all forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from collector.correlate.state import Carried

MOST = 8_192  # exchanges
_SKEW_US = 2_000_000  # proxies' clocks may differ by it
_TIGHT_US = 10_000  # where the times are evidence
_ANSWER = "answer"
_OF_ONE_ID = 32  # exchanges that are looked at


class Passed:
    """`most`: exchanges that are remembered."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = OrderedDict[str, Carried]()  # by exchange, as they were told; its first is found at once, which a dict's is not
        self._by_id: dict[tuple[str, str], list[Carried]] = {}  # by what it is the id of, and the id

    def is_first(self, one: Carried) -> bool:
        """Whether no other workload's exchange told this answer; for revisions the same as before. It is remembered from now on."""
        known = self._kept.get(one.exchange)
        if known is not None:
            return known.first
        ids = _ids(one)
        one.first = not any(self._is_told(one, id_, same) for id_ in ids if (same := self._by_id.get(id_)))
        self._keep(one, ids)
        return one.first

    def snapshot(self) -> list[Carried]:
        """For a checkpoint."""
        return list(self._kept.values())

    def restore(self, saved: Iterable[Carried]) -> None:
        """Goes on from there."""
        self._kept.clear()
        self._by_id.clear()
        for one in saved:
            self._keep(one, _ids(one))

    def _is_told(self, one: Carried, id_: tuple[str, str], same: list[Carried]) -> bool:
        """Whether one of these, which have this id in common with it, told the same answer."""
        by_id = id_[0] == _ANSWER
        if by_id and not _is_of_one_each([*same, one]):
            return False
        return any(_is_same(one, other, by_id) for other in same)

    def _keep(self, one: Carried, ids: Sequence[tuple[str, str]]) -> None:
        for id_ in ids:
            if (same := self._by_id.get(id_)) is None:
                self._by_id[id_] = [one]
                continue
            same.append(one)
            if len(same) > _OF_ONE_ID:
                del same[0]
        self._kept[one.exchange] = one
        if len(self._kept) > self._most:
            self._forget(next(iter(self._kept.values())))

    def _forget(self, oldest: Carried) -> None:
        del self._kept[oldest.exchange]
        for id_ in _ids(oldest):
            same = self._by_id.get(id_, [])
            if same and same[0] is oldest:
                del same[0]
            if not same:
                self._by_id.pop(id_, None)


def _ids(one: Carried) -> list[tuple[str, str]]:
    return [(of, id_) for of, id_ in ((_ANSWER, one.answer), ("request", one.request), ("trace", one.trace)) if id_]


def _is_of_one_each(told: Sequence[Carried]) -> bool:
    """An id that one workload gives to several answers is no answer's own."""
    return len({one.owner for one in told}) == len(told)


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
