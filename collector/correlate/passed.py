"""Which exchanges carry the same answer: an application in front of a model (a gateway of models, a guardrail) passes on what the model
told, and both proxies report it with its usage. Whoever of them is first told is billed; but where the model is told behind the
application, and the application can be told again as not billed (retold.py), the model is.

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

from collector.correlate.retold import Retold
from collector.correlate.state import Carried
from collector.messages.addresses import host_of

MOST = 8_192  # exchanges
_SKEW_US = 2_000_000  # proxies' clocks may differ by it
_TIGHT_US = 10_000  # where the times are evidence
_OF_ONE_ID = 32  # exchanges that are looked at

_ById = dict[str, list[Carried]]


class Passed:
    """`most`: exchanges that are remembered."""

    def __init__(self, most: int = MOST, retold: Retold | None = None) -> None:
        self._most, self._retold = most, Retold() if retold is None else retold
        self._kept = OrderedDict[str, Carried]()  # by exchange, as they were told; its first is found at once, which a dict's is not
        self._by_answer: _ById = {}
        self._by_request: _ById = {}
        self._by_trace: _ById = {}

    def is_first(self, one: Carried) -> bool:
        """Whether this exchange is billed of all that told this answer: for revisions as before, unless a model's was told since. It is
        remembered from now on.
        """
        known = self._kept.get(one.exchange)
        if known is not None:
            return known.first
        same = self._same(one)
        one.first = not same or (one.of_model and self._takes_over([other for other in same if other.first]))
        self._keep(one)
        return one.first

    def snapshot(self) -> list[Carried]:
        """For a checkpoint."""
        return list(self._kept.values())

    def restore(self, saved: Iterable[Carried]) -> None:
        """Goes on from there."""
        for known in (self._kept, self._by_answer, self._by_request, self._by_trace):
            known.clear()
        for one in saved:
            self._keep(one)

    def _same(self, one: Carried) -> Sequence[Carried]:
        """Those that have an id in common with it and told the same answer; one may be there more than once."""
        by_answer, by_request, by_trace = self._by_answer.get(one.answer), self._by_request.get(one.request), self._by_trace.get(one.trace)
        if by_answer is by_request is by_trace is None:  # nearly always
            return ()
        found: list[Carried] = []
        if by_answer is not None and _is_of_one_each([*by_answer, one]):
            found += [other for other in by_answer if _is_same(one, other, True)]
        for same in (by_request, by_trace):
            if same is not None:
                found += [other for other in same if _is_same(one, other, False)]
        return found

    def _takes_over(self, firsts: Sequence[Carried]) -> bool:
        """Whether a model is billed in place of these: if none of them is one's, and all can be told again. Then they are."""
        if not firsts or not all(not other.of_model and self._retold.has(other.exchange) for other in firsts):
            return False
        for other in firsts:
            if other.first:
                other.first = False
                self._retold.tell(other.exchange)
        return True

    def _keep(self, one: Carried) -> None:
        if one.answer:
            _put(self._by_answer, one.answer, one)
        if one.request:
            _put(self._by_request, one.request, one)
        if one.trace:
            _put(self._by_trace, one.trace, one)
        self._kept[one.exchange] = one
        if len(self._kept) > self._most:
            _, oldest = self._kept.popitem(last=False)
            _take(self._by_answer, oldest.answer, oldest)
            _take(self._by_request, oldest.request, oldest)
            _take(self._by_trace, oldest.trace, oldest)


def _put(by_id: _ById, id_: str, one: Carried) -> None:
    same = by_id.get(id_)
    if same is None:
        by_id[id_] = [one]
        return
    same.append(one)
    if len(same) > _OF_ONE_ID:
        del same[0]


def _take(by_id: _ById, id_: str, oldest: Carried) -> None:
    same = by_id.get(id_)
    if same is None:
        return
    if same[0] is oldest:
        del same[0]
    if not same:
        del by_id[id_]


def _is_of_one_each(told: Sequence[Carried]) -> bool:
    """An id that one workload gives to several answers is no answer's own."""
    return len({one.owner for one in told}) == len(told)


def _is_same(one: Carried, other: Carried, by_id: bool) -> bool:
    if one.owner == other.owner or one.used != other.used:
        return False
    return any(_is_within(inner, outer) and (by_id or _led(outer, inner)) for inner, outer in ((one, other), (other, one)))


def _led(outer: Carried, inner: Carried) -> bool:
    """Whether the inner call came from the workload of the outer one. Both of one host stand side by side."""
    called_by = host_of(inner.caller_host)
    if called_by and called_by == host_of(outer.caller_host):
        return False
    for own, caller in ((host_of(outer.host), called_by), (outer.account, inner.caller_account)):
        if own and caller:
            return own == caller
    return outer.numbers == inner.numbers and _is_within(inner, outer, _TIGHT_US)


def _is_within(inner: Carried, outer: Carried, skew_us: int = _SKEW_US) -> bool:
    return inner.start_us >= outer.start_us - skew_us and inner.end_us <= outer.end_us + skew_us
