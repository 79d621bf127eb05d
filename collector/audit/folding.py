"""Folds the exchanges of one request id into calls: who led to whom, by what is recorded of each. Pure.

Hops are stored one by one, each from its own proxy; what they have in common is the request id, and a client may repeat that. So an
exchange is put under another only if it ran within it, both are of one trace where both say theirs, and one of these holds, the surest
first:

- `address`: the outer proxy sent its request to the address at which the inner one was reached. A proxy sends one request a try.
- `retry`: the outer proxy says that it tried more often, and the inner exchange ran where an exchange of its other tries ran.
- `proxy`: the same proxy handed the outer request to the application beside it, and the inner one came out of that application.
- `caller`: the inner request came from the host of the outer proxy, or from where the outer proxy had sent its own: a hop between them is
  not recorded.

What is left has no parent: it begins a call of its own. Nothing is put together by its request id alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from collector.audit.call_documents import LinkName
from collector.audit.hops import Hop
from collector.audit.matching import Option, Placed, match

SKEW_US = 10_000
"""How far the clocks of two proxies may be apart, in µs. More would not fold more calls rightly than it folds unrelated ones: where clocks
are worse than this, hops are shown as calls of their own."""

_MANY = 1 << 30


class Link(NamedTuple):
    """The parent of a hop, by what it was found, and whether another was possible too."""

    parent: Hop
    kind: LinkName
    ambiguous: bool


class Call(NamedTuple):
    """The hops of a call with their depth, the root first, each before those that it led to."""

    hops: list[tuple[int, Hop]]


class Folded(NamedTuple):
    """All calls, by the start of their roots, and the link of every hop that has a parent."""

    calls: list[Call]
    links: dict[str, Link]


def fold(hops: Iterable[Hop]) -> Folded:
    """Every hop once. The order in which they are given does not matter."""
    folding = _Folding(sorted(hops, key=_order))
    folding.link()
    return folding.folded()


def _order(hop: Hop) -> tuple[int, str]:
    return hop.start_us, hop.id


class _Folding:
    def __init__(self, hops: Sequence[Hop]) -> None:
        self._hops = hops
        self._links: dict[str, Link] = {}
        self._children: dict[str, list[Hop]] = {}

    def link(self) -> None:
        """The surest evidence first; whoever has a parent keeps it."""
        self._by("address", _groups(self._hops, lambda hop: hop.upstream, lambda hop: hop.address), _tries)
        self._by("retry", self._retried(), lambda hop: hop.attempts - len(self._children.get(hop.id, ())))
        self._by("proxy", _groups(self._hops, _beside, _out_of), lambda _: _MANY)
        self._by("caller", self._called(), lambda hop: _tries(hop) if hop.forwards else _MANY)

    def _by(self, kind: LinkName, pairs: Iterator[tuple[Hop, Hop]], room: Callable[[Hop], int]) -> None:
        options = []
        for outer, inner in pairs:
            if outer is inner or inner.id in self._links or _other_trace(outer, inner):
                continue
            cost = within(outer, inner)
            if cost is not None and not self._above(inner, outer):
                options.append(Option(cost, inner, outer))
        options.sort(key=lambda o: (o.cost, o.inner.id, o.outer.id))
        rooms = {option.outer: room(option.outer) for option in options}
        found = match([option for option in options if rooms[option.outer] > 0], rooms)
        for inner in sorted(found, key=_order):
            self._place(kind, inner, found[inner])

    def _place(self, kind: LinkName, inner: Hop, placed: Placed[Hop]) -> None:
        """Two hops that lie within each other, as far as clocks tell, may each be the other's option: only one is its parent."""
        if not self._above(inner, placed.outer):
            self._links[inner.id] = Link(placed.outer, kind, not placed.certain)
            self._children.setdefault(placed.outer.id, []).append(inner)

    def _ancestors(self, hop: str) -> Iterator[Hop]:
        link = self._links.get(hop)
        while link is not None:
            yield link.parent
            link = self._links.get(link.parent.id)

    def _above(self, hop: Hop, below: Hop) -> bool:
        return hop is below or any(above is hop for above in self._ancestors(below.id))

    def _retried(self) -> Iterator[tuple[Hop, Hop]]:
        for outer in self._hops:
            if outer.attempts > 1 and outer.upstream:
                tried = self._children.get(outer.id, ())
                targets = outer.target.union(*(child.target for child in tried)) if outer.forwards else _targets(tried)
                yield from ((outer, inner) for inner in self._hops if inner.target & targets)

    def _called(self) -> Iterator[tuple[Hop, Hop]]:
        """A proxy that only forwards, and whose request was found, sent no other."""
        outers = [hop for hop in self._hops if not (hop.forwards and hop.id in self._children)]
        for host in {hop.caller_host for hop in self._hops} - {""}:
            over = [hop for hop in outers if host in hop.hosts or (host == hop.upstream_host and hop.id not in self._children)]
            yield from ((o, i) for o in over for i in self._hops if i.caller_host == host and i.node != o.node)

    def folded(self) -> Folded:
        roots = [hop for hop in self._hops if hop.id not in self._links]
        return Folded([Call(list(self._tree(root))) for root in roots], self._links)

    def _tree(self, root: Hop) -> Iterator[tuple[int, Hop]]:
        waiting = [(0, root)]
        while waiting:
            depth, hop = waiting.pop()
            yield depth, hop
            waiting += [(depth + 1, child) for child in sorted(self._children.get(hop.id, ()), key=_order, reverse=True)]


def within(outer: Hop, inner: Hop) -> tuple[int, int] | None:
    """None if the inner did not run within the outer; else how far it stands out (µs, at most SKEW_US), and how tightly it fits.

    An outer one that was cut short may have ended before what it led to.
    """
    early = outer.start_us - inner.start_us
    late, loose = 0, abs(early)
    if outer.end_us is not None and not outer.cut_short:
        late = (inner.start_us if inner.end_us is None else inner.end_us) - outer.end_us
        loose += abs(late)
    elif outer.end_us is not None:
        late = inner.start_us - outer.end_us
    return None if max(early, late) > SKEW_US else (max(early, 0) + max(late, 0), loose)


def _groups(hops: Sequence[Hop], out: Callable[[Hop], str], at: Callable[[Hop], str]) -> Iterator[tuple[Hop, Hop]]:
    """The pairs (outer, inner) with the same text, none where it is empty."""
    inners: dict[str, list[Hop]] = {}
    for hop in hops:
        inners.setdefault(at(hop), []).append(hop)
    inners.pop("", None)
    return ((outer, inner) for outer in hops for inner in inners.get(out(outer), ()))


def _tries(hop: Hop) -> int:
    return hop.attempts


def _beside(hop: Hop) -> str:
    return "" if hop.forwards else hop.node


def _out_of(hop: Hop) -> str:
    return hop.node if hop.role == "client" else ""


def _targets(hops: Iterable[Hop]) -> frozenset[tuple[str, ...]]:
    return frozenset(target for hop in hops for target in hop.target)


def _other_trace(outer: Hop, inner: Hop) -> bool:
    return bool(outer.trace_id and inner.trace_id) and outer.trace_id != inner.trace_id
