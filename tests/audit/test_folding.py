"""Folding, on calls of any shape: what is told of their hops is enough to find who led to whom, and nothing is ever made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.audit.folding import fold, within
from collector.audit.hops import Hop, hop
from collector.audit.matching import Option, match
from tests.support.effort import examples

T0 = 1_780_000_000_000_000


@dataclass
class Node:
    """A hop of a call as it really was."""

    name: str
    role: str
    start: int
    end: int
    address: str
    pod: str
    children: list[Node] = field(default_factory=list)

    def all(self) -> list[Node]:
        return [self, *(below for child in self.children for below in child.all())]

    def pairs(self) -> set[tuple[str, str]]:
        return {(self.name, c.name) for c in self.children} | {pair for c in self.children for pair in c.pairs()}


def told(node: Node, skew: int = 0, **changes: object) -> Hop:
    """Its record. A sidecar of a client and a gateway say to whom they sent; other proxies hand it to the application beside them."""
    forwards = node.role in ("client", "gateway")
    record = {
        "id": node.name,
        "start": "2026-01-01T00:00:00Z",
        "proxy": {"node": f"sidecar~{node.pod}~pod-{node.pod}.x~x.svc.cluster.local", "address": node.address},
        "hop": {"role": node.role, "billable": False, "rule": "not-billed"},
        "caller": {"address": "203.0.113.1:0"},
        "upstream": {
            "cluster": "outbound|80||x" if forwards else "inbound|80||",
            "address": node.children[-1].address if forwards and node.children else node.address,
            "attempts": len(node.children) if forwards else 1,
        },
        "completeness": ["complete"],
        **changes,
    }
    return hop(msgspec.json.encode(record), T0 + node.start + skew, node.end - node.start)


@st.composite
def forests(draw: st.DrawFn) -> list[Node]:
    """Calls of one request id: gateways, and applications that ask others, all nested in time. No two hops share an address, so that
    where a request was sent says to whom; and a pod serves one call at a time.
    """
    numbers = count(1)

    def server(start: int, end: int, depth: int) -> Node:
        number = next(numbers)
        pod = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        node = Node(f"s{number}", "predictor", start, end, f"{pod}:8080", pod)
        for _ in range(draw(st.integers(0, 3)) if depth < 4 else 0):
            inside = span(start, end)
            number = next(numbers)
            asks = Node(f"c{number}", "client", *inside, f"172.20.{number >> 8}.{number & 255}:80", pod)
            asks.children.append(server(*span(*inside), depth + 1))
            node.children.append(asks)
        return node

    def span(start: int, end: int) -> tuple[int, int]:
        first = draw(st.integers(start, end))
        return first, draw(st.integers(first, end))

    def call() -> Node:
        start = draw(st.integers(0, 1_000_000))
        end = start + draw(st.integers(0, 1_000_000))
        if draw(st.booleans()):
            return server(start, end, 0)
        number = next(numbers)
        outer = Node(f"g{number}", "gateway", start, end, f"10.9.0.{number & 255}:{1000 + number}", f"10.9.{number >> 8}.{number & 255}")
        outer.children.append(server(*span(start, end), 0))
        return outer

    return [call() for _ in range(draw(st.integers(1, 6)))]


@settings(max_examples=examples(100))
@given(forests(), st.randoms(use_true_random=False))
def test_any_forest_folds_back_exactly(forest: list[Node], random: object) -> None:
    hops = [told(node) for root in forest for node in root.all()]
    random.shuffle(hops)  # type: ignore[attr-defined]
    folded = fold(hops)
    assert {(link.parent.id, name) for name, link in folded.links.items()} == {pair for root in forest for pair in root.pairs()}
    assert sorted(call.hops[0][1].id for call in folded.calls) == sorted(root.name for root in forest)
    assert not any(link.ambiguous for link in folded.links.values())


@pytest.mark.slow
@settings(max_examples=examples(100))
@given(forests(), st.data())
def test_clocks_that_are_a_little_apart_change_nothing(forest: list[Node], data: st.DataObject) -> None:
    """Each pod has a clock of its own; two are apart by the tolerance at most."""
    clocks: dict[str, int] = {}
    nodes = [node for root in forest for node in root.all()]
    for node in nodes:
        clocks.setdefault(node.pod, data.draw(st.integers(0, 10_000), label=node.pod))
    folded = fold(told(node, clocks[node.pod]) for node in nodes)
    assert {(link.parent.id, name) for name, link in folded.links.items()} == {pair for root in forest for pair in root.pairs()}


@st.composite
def hostile(draw: st.DrawFn) -> list[Hop]:
    """Anything at all, from few addresses, pods, traces and times, so that much of it could belong together."""
    places = st.sampled_from(["", "10.0.0.1:1", "10.0.0.2:1", "127.0.0.1:1", "[fd00::1]:1", "/a/pipe", "x:y:z"])
    found = []
    for number in range(draw(st.integers(0, 14))):
        record = {
            "id": f"{number:02}",
            "start": "",
            "proxy": {"node": draw(st.sampled_from(["a~10.0.0.1~p~d", "b~10.0.0.2~p~d", "plain", ""])), "address": draw(places)},
            "hop": {"role": draw(st.sampled_from(["gateway", "client", "server", "predictor", ""])), "billable": draw(st.booleans())},
            "caller": {"address": draw(places)},
            "upstream": {"cluster": "c", "address": draw(places), "attempts": draw(st.integers(0, 3))},
            "trace": {"trace_id": draw(st.sampled_from(["", "", "1", "2"]))},
            "completeness": draw(st.sampled_from([[], ["client_aborted"]])),
        }
        length = draw(st.none() | st.integers(0, 50_000))
        found.append(hop(msgspec.json.encode(record), T0 + draw(st.integers(0, 50_000)), length))
    return found


@settings(max_examples=examples(200))
@given(hostile(), st.randoms(use_true_random=False))
def test_whatever_comes_each_hop_is_told_once_below_what_it_ran_within(hops: list[Hop], random: object) -> None:
    folded = fold(hops)
    assert sorted(hop.id for call in folded.calls for _, hop in call.hops) == sorted(hop.id for hop in hops)
    by_name = {hop.id: hop for hop in hops}
    sent: dict[str, int] = {}
    for name, link in folded.links.items():
        inner = by_name[name]
        assert within(link.parent, inner) is not None
        assert not (inner.trace_id and link.parent.trace_id and inner.trace_id != link.parent.trace_id)
        if link.kind == "address":
            assert link.parent.upstream == inner.address != ""
        if link.kind in ("address", "retry"):
            sent[link.parent.id] = sent.get(link.parent.id, 0) + 1
    assert all(number <= by_name[name].attempts for name, number in sent.items())
    for call in folded.calls:
        above: list[str] = []
        for depth, hop_ in call.hops:
            assert folded.links[hop_.id].parent.id == above[depth - 1] if depth else hop_.id not in folded.links
            above[depth:] = [hop_.id]
    shuffled = list(hops)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(shuffled) == folded


@settings(max_examples=examples(100))
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))), st.lists(st.integers(1, 2), min_size=7, max_size=7))
def test_as_many_as_possible_find_a_place(pairs: set[tuple[int, int]], room: list[int]) -> None:
    options = [Option((0,), f"i{i}", f"o{o}") for i, o in sorted(pairs)]
    placed = match(options, {f"o{o}": n for o, n in enumerate(room)})
    assert all((int(i[1:]), int(p.outer[1:])) in pairs for i, p in placed.items())
    assert len(placed) == _most(pairs, room)
    for inner, place in placed.items():
        if place.certain:
            assert len({o for i, o in pairs if f"i{i}" == inner}) == 1


def _most(pairs: set[tuple[int, int]], room: list[int]) -> int:
    """By trying all there is."""

    def best(inner: int, left: tuple[int, ...]) -> int:
        if inner == 7:
            return 0
        tries = [best(inner + 1, left)]
        for i, o in pairs:
            if i == inner and left[o]:
                tries.append(1 + best(inner + 1, (*left[:o], left[o] - 1, *left[o + 1 :])))
        return max(tries)

    return best(0, tuple(room))


@pytest.mark.slow
def test_five_hundred_repeats_that_could_all_belong_together_are_folded_at_once() -> None:
    """As many as are read, all at one time and place, a third of them without a place to go."""
    outers = [Node(f"g{n:03}", "gateway", 0, 1000, "10.0.0.1:1", "10.0.0.1") for n in range(170)]
    inners = [Node(f"s{n:03}", "predictor", 1, 999, "10.0.0.2:1", "10.0.0.2") for n in range(330)]
    for outer in outers:
        outer.children.append(inners[0])
    folded = fold(told(node) for node in (*outers, *inners))
    assert len(folded.links) == 170
    assert all(link.ambiguous for link in folded.links.values())


@pytest.mark.slow
def test_a_long_chain_is_no_recursion() -> None:
    chain = [Node(f"g{n:04}", "gateway", n, 10_000 - n, f"10.0.0.1:{n + 1}", "10.0.0.1") for n in range(2000)]
    for outer, inner in pairwise(chain):
        outer.children.append(inner)
    [call] = fold(told(node) for node in chain).calls
    assert call.hops[-1][0] == 1999
