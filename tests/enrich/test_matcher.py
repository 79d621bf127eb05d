"""What a proxy's own words decide is remembered: the same answers as without, in bounded memory."""

from __future__ import annotations

import gc
import weakref
from itertools import product

import pytest

from collector.enrich.match import Match, Matcher, ProxyFacts, match, proxy_type_of
from collector.messages.exchange import Node

SIDECAR, ROUTER = "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local", "router~10.0.0.2~gw.ns~ns.svc.cluster.local"
LABELS = ({}, {"app": "front"}, {"serving.kserve.io/inferenceservice": "iris", "component": "predictor"})
CLUSTERS = ("", "inbound|8080||", "outbound|80||llama-predictor.demo.svc.cluster.local", "PassthroughCluster", "x" * 300)
PATHS = ("/", "/ns/iris/v1", "/v1/models/iris:predict")


def plainly(node: Node, cluster: str, authority: str, path: str, known: set[tuple[str, str]]) -> Match:
    facts = ProxyFacts(proxy_type_of(node.id), node.namespace, node.labels, cluster, authority, "", path)
    return match(facts, lambda *name: name in known)


@pytest.mark.parametrize("most", [1, 1000])
def test_what_is_remembered_changes_no_answer(most: int) -> None:
    known: set[tuple[str, str]] = set()
    matcher = Matcher(lambda *name: name in known, most)
    nodes = [Node(of, namespace="ns", labels=labels) for of, labels in product((SIDECAR, ROUTER, "odd"), LABELS)]
    for known_now in (set(), {("ns", "iris"), ("demo", "llama")}, set()):
        known.clear()
        known.update(known_now)
        for node, cluster, path in product(nodes, CLUSTERS, PATHS):
            for authority in ("", "iris.ns.svc.cluster.local"):
                assert matcher.of(node, cluster, authority, "", path) == plainly(node, cluster, authority, path, known)


def test_a_node_that_tells_other_labels_now_is_asked_anew() -> None:
    matcher = Matcher(lambda *_: False)
    for name in ("iris", "mnist"):
        node = Node(SIDECAR, namespace="ns", labels={"serving.kserve.io/inferenceservice": name})
        assert matcher.of(node, "", "", "", "").name == name


class Told(Node, frozen=True, weakref=True):
    """A node that can be seen to go."""


@pytest.mark.slow
def test_no_more_nodes_are_held_than_the_bound() -> None:
    matcher = Matcher(lambda *_: False, 10)
    seen = []
    for number in range(25):
        node = Told(f"{SIDECAR}{number}", namespace="ns")
        matcher.of(node, "", "", "", "")
        seen.append(weakref.ref(node))
        del node
    gc.collect()
    assert 0 < sum(one() is not None for one in seen) <= 10
