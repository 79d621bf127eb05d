"""Which exchanges carry the same answer: an application in front of a model (a gateway of models, a guardrail) passes on what the model
told, and both proxies report it with its usage. Whoever of them is first told is billed; but where the model is told behind the
application, and the application can be told again as not billed (retold.py), the model is.

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
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from collector.correlate.retold import Retold
from collector.messages.addresses import host_of
from collector.messages.told_answer import ToldAnswer

MOST = 8_192  # exchanges
_SKEW_US = 2_000_000  # proxies' clocks may differ by it
_TIGHT_US = 10_000  # where the times are evidence
_OF_ONE_ID = 32  # exchanges that are looked at
_TEXTS: Final = 11  # of what is told; the times follow
_SHORT = 128  # characters of a text that is kept as it is
_BETWEEN, _LINE = "\0", "\n"  # neither is in a plain text
_BILLED, _UNBILLED = "1", "0"  # the end of a text in a snapshot

_ById = dict[str, str]  # an id; what was told with it, a line for each exchange


class Passed:
    """`most`: exchanges that are remembered."""

    def __init__(self, most: int = MOST, retold: Retold | None = None) -> None:
        self._most, self._retold = most, Retold() if retold is None else retold
        self._kept: dict[str, str] = {}  # by exchange, what it told
        self._order = deque[str]()  # of exchanges, as they were told: a dict's first is not found at once
        self._unbilled: set[str] = set()  # of them those in whose place another one is billed
        self._by_answer: _ById = {}
        self._by_request: _ById = {}
        self._by_trace: _ById = {}

    def is_first(self, one: ToldAnswer) -> bool:
        """Whether this exchange is billed of all that told this answer: for revisions as before, unless a model's was told since. It is
        remembered from now on.
        """
        if one.exchange in self._kept:
            return one.exchange not in self._unbilled
        texts: tuple[str, ...] = one[:_TEXTS]
        start_us, end_us, of_model = one.start_us, one.end_us, one.of_model
        text = _BETWEEN.join(texts)
        if max(map(len, texts)) > _SHORT or not text.isascii() or _LINE in text or text.count(_BETWEEN) >= _TEXTS:
            texts = tuple(map(_short, texts))
            text, one = _BETWEEN.join(texts), ToldAnswer._make((*texts, start_us, end_us, of_model))
        same = self._same(one)
        if same and not (of_model and self._takes_over([other for other in same if other.exchange not in self._unbilled])):
            self._unbilled.add(one.exchange)
        self._keep(one, f"{text}\0{start_us}\0{end_us}\0{'1' if of_model else '0'}")
        return one.exchange not in self._unbilled

    def snapshot(self) -> list[str]:
        """For a checkpoint."""
        kept, unbilled = self._kept, self._unbilled
        return [f"{kept[one]}{_BETWEEN}{_UNBILLED if one in unbilled else _BILLED}" for one in self._order]

    def restore(self, saved: Iterable[str]) -> None:
        """Goes on from there. Raises ValueError, TypeError: these are no snapshot."""
        for known in (self._kept, self._order, self._unbilled, self._by_answer, self._by_request, self._by_trace):
            known.clear()
        for ended in saved:
            text, _, billed = ended.rpartition(_BETWEEN)
            one = _told(text)
            if billed == _UNBILLED:
                self._unbilled.add(one.exchange)
            self._keep(one, text)

    def _same(self, one: ToldAnswer) -> Sequence[ToldAnswer]:
        """Those that have an id in common with it and told the same answer; one may be there more than once."""
        by_answer, by_request, by_trace = self._by_answer.get(one.answer), self._by_request.get(one.request), self._by_trace.get(one.trace)
        if by_answer is by_request is by_trace is None:  # nearly always
            return ()
        found: list[ToldAnswer] = []
        if by_answer is not None and _is_of_one_each(by_answer, one):
            found += [other for other in _candidates(by_answer, one) if _is_same(one, other, True)]
        for same in (by_request, by_trace):
            if same is not None:
                found += [other for other in _candidates(same, one) if _is_same(one, other, False)]
        return found

    def _takes_over(self, billed: Sequence[ToldAnswer]) -> bool:
        """Whether a model is billed in place of these: if none of them is one's, and all can be told again. Then they are."""
        if not billed or not all(not other.of_model and self._retold.has(other.exchange) for other in billed):
            return False
        for other in billed:
            if other.exchange not in self._unbilled:
                self._unbilled.add(other.exchange)
                self._retold.tell(other.exchange)
        return True

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
            oldest = self._order.popleft()
            self._unbilled.discard(oldest)
            self._forget(self._kept.pop(oldest))

    def _forget(self, text: str) -> None:
        _, _, answer, request, trace, _ = text.split(_BETWEEN, 5)
        _take(self._by_answer, answer, text)
        _take(self._by_request, request, text)
        _take(self._by_trace, trace, text)


def _put(by_id: _ById, id_: str, text: str) -> None:
    same = by_id.get(id_)
    if same is None:
        by_id[id_] = text
        return
    if same.count(_LINE) >= _OF_ONE_ID - 1:
        same = same[same.index(_LINE) + 1 :]
    by_id[id_] = f"{same}{_LINE}{text}"


def _take(by_id: _ById, id_: str, oldest: str) -> None:
    same = by_id.get(id_)
    if same is None:
        return
    if same == oldest:
        del by_id[id_]
    elif same.startswith(oldest):
        by_id[id_] = same[len(oldest) + 1 :]


def _told(text: str) -> ToldAnswer:
    *texts, start_us, end_us, of_model = text.split(_BETWEEN)
    return ToldAnswer._make((*texts, int(start_us), int(end_us), of_model == "1"))


def _candidates(texts: str, one: ToldAnswer) -> Iterator[ToldAnswer]:
    """Those of other services that told the same number. Most of one trace did not, and are not taken apart."""
    used = f"{_BETWEEN}{one.used}{_BETWEEN}"
    if used in texts:
        for text in texts.split(_LINE):
            if used in text and _service(text) != one.service:
                yield _told(text)


def _service(text: str) -> str:
    return text.split(_BETWEEN, 2)[1]


def _short(text: str) -> str:
    """The text itself if it is short and plain, as nearly all are."""
    if len(text) <= _SHORT and text.isascii() and _LINE not in text and _BETWEEN not in text:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _is_of_one_each(texts: str, one: ToldAnswer) -> bool:
    """An id that one workload gives to several answers is no answer's own."""
    services = [one.service, *map(_service, texts.split(_LINE))]
    return len(set(services)) == len(services)


def _is_same(one: ToldAnswer, other: ToldAnswer, by_id: bool) -> bool:
    if one.used != other.used:
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
