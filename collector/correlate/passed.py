"""Which exchanges carry the same answer: an application in front of a model (a gateway of models, a guardrail) passes on what the model
told, and both proxies report it with its usage. Whoever of them is first told is billed.

Two exchanges of different workloads are the same answer if one lies within the other in time, they tell the same number, and
- they have the answer's own id in common, which one workload gives to no other answer;
- or the request's id or the trace, and the inner call came from the workload of the outer one. Without that, two models that an agent asks
  side by side, and that stop at the same limit, would be one. Where nobody told who called, all numbers and the times must fit instead.

What is remembered is a part of the state that a checkpoint holds, so a replay decides as before. Bounded in number, not by the exchanges'
own times: those are what a proxy says, and one that lies ahead would have all forgotten. Each is kept as one short text: many objects that
stay push what the next exchanges need out of the processor's cache, which costs more than to split a text when two are compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import cast

from collector.messages.addresses import host_of
from collector.messages.told_answer import ToldAnswer

MOST = 8_192  # exchanges
_SKEW_US = 2_000_000  # proxies' clocks may differ by it
_TIGHT_US = 10_000  # where the times are evidence
_OF_ONE_ID = 32  # exchanges that are looked at
_TEXTS = 11  # of what is told; the times follow
_SHORT = 128  # characters of a text that is kept as it is
_BETWEEN, _LINE = "\0", "\n"  # neither is in a plain text
_FIRST, _LATER = "1", "0"  # the end of a kept text: whether no other workload had told it

_ById = dict[str, str]  # an id; what was told with it, a line for each exchange


class Passed:
    """`most`: exchanges that are remembered."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, str] = {}  # by exchange, what it told
        self._order = deque[str]()  # of exchanges, as they were told: a dict's first is not found at once
        self._by_answer: _ById = {}
        self._by_request: _ById = {}
        self._by_trace: _ById = {}

    def is_first(self, one: ToldAnswer) -> bool:
        """Whether no other workload's exchange told this answer; for revisions the same as before. It is remembered from now on."""
        known = self._kept.get(one.exchange)
        if known is not None:
            return known[-1] == _FIRST
        texts, start_us, end_us = cast(tuple[str, ...], one[:_TEXTS]), one.start_us, one.end_us
        text = _BETWEEN.join(texts)
        if max(map(len, texts)) > _SHORT or not text.isascii() or _LINE in text or text.count(_BETWEEN) >= _TEXTS:
            texts = tuple(map(_short, texts))
            text, one = _BETWEEN.join(texts), ToldAnswer._make((*texts, start_us, end_us))
        first = not self._is_told(one)
        self._keep(one, f"{text}{_BETWEEN}{start_us}{_BETWEEN}{end_us}{_BETWEEN}{_FIRST if first else _LATER}")
        return first

    def snapshot(self) -> list[str]:
        """For a checkpoint."""
        return [self._kept[exchange] for exchange in self._order]

    def restore(self, saved: Iterable[str]) -> None:
        """Goes on from there. Raises ValueError, TypeError: these are no snapshot."""
        for known in (self._kept, self._order, self._by_answer, self._by_request, self._by_trace):
            known.clear()
        for text in saved:
            self._keep(_told(text), text)

    def _is_told(self, one: ToldAnswer) -> bool:
        """Whether one of those that have an id in common with it told the same answer."""
        same = self._by_answer.get(one.answer)
        if same is not None and _is_same_answer(one, _all_told(same)):
            return True
        for same in (self._by_request.get(one.request), self._by_trace.get(one.trace)):
            if same is not None and any(_is_same(one, other, False) for other in _all_told(same)):
                return True
        return False

    def _keep(self, one: ToldAnswer, text: str) -> None:
        if one.answer:
            _put(self._by_answer, one.answer, text)
        if one.request:
            _put(self._by_request, one.request, text)
        if one.trace:
            _put(self._by_trace, one.trace, text)
        self._kept[one.exchange] = text
        self._order.append(one.exchange)
        if len(self._order) > self._most:
            self._forget(self._kept.pop(self._order.popleft()))

    def _forget(self, text: str) -> None:
        _, _, answer, request, trace, _ = text.split(_BETWEEN, 5)
        _take(self._by_answer, answer, text)
        _take(self._by_request, request, text)
        _take(self._by_trace, trace, text)


def _put(by_id: _ById, id_: str, text: str) -> None:
    same = by_id.get(id_)
    if same is None:
        by_id[id_] = text
    else:
        by_id[id_] = _LINE.join([*same.split(_LINE)[1 - _OF_ONE_ID :], text])


def _take(by_id: _ById, id_: str, oldest: str) -> None:
    same = by_id.get(id_)
    if same is None:
        return
    if same == oldest:
        del by_id[id_]
    elif same.startswith(oldest):
        by_id[id_] = same[len(oldest) + 1 :]


def _told(text: str) -> ToldAnswer:
    *texts, start_us, end_us, _ = text.split(_BETWEEN)
    return ToldAnswer._make((*texts, int(start_us), int(end_us)))


def _all_told(texts: str) -> list[ToldAnswer]:
    return [_told(text) for text in texts.split(_LINE)]


def _short(text: str) -> str:
    """The text itself if it is short and plain, as nearly all are."""
    if len(text) <= _SHORT and text.isascii() and _LINE not in text and _BETWEEN not in text:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _is_same_answer(one: ToldAnswer, told: Sequence[ToldAnswer]) -> bool:
    return _is_of_one_each([*told, one]) and any(_is_same(one, other, True) for other in told)


def _is_of_one_each(told: Sequence[ToldAnswer]) -> bool:
    """An id that one workload gives to several answers is no answer's own."""
    return len({one.service for one in told}) == len(told)


def _is_same(one: ToldAnswer, other: ToldAnswer, by_id: bool) -> bool:
    if one.service == other.service or one.used != other.used:
        return False
    return any(_is_within(inner, outer) and (by_id or _led(outer, inner)) for inner, outer in ((one, other), (other, one)))


def _led(outer: ToldAnswer, inner: ToldAnswer) -> bool:
    """Whether the inner call came from the workload of the outer one. Both of one host stand side by side."""
    called_by = host_of(inner.caller_host)
    if called_by and called_by == host_of(outer.caller_host):
        return False
    for own, caller in ((host_of(outer.host), called_by), (outer.account, inner.caller_account)):
        if own and caller:
            return own == caller
    return outer.numbers == inner.numbers and _is_within(inner, outer, _TIGHT_US)


def _is_within(inner: ToldAnswer, outer: ToldAnswer, skew_us: int = _SKEW_US) -> bool:
    return inner.start_us >= outer.start_us - skew_us and inner.end_us <= outer.end_us + skew_us
