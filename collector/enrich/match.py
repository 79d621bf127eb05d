"""Finds out which service an exchange belonged to, from what its proxy said. Pure.

A proxy beside a model says it by its own pod labels; a gateway, a waypoint or a caller's proxy only by where it sent
the request. Each rule takes a name from one place; the first that answers wins, and `Match.matched_by` says which it
was. docs/services.md lists them with examples. The result goes to `attach` together with the version that the
catalogue gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from collector.enrich.version import INFERENCE_SERVICE, LLM_INFERENCE_SERVICE
from collector.messages.exchange import Node
from collector.messages.service import MatchedBy

UNMATCHED: MatchedBy = "unmatched"
# Asks the catalogue whether a service of this namespace and name is known: `Catalogue.knows`.
Knows = Callable[[str, str], bool]

_REMEMBERED, _REMEMBERED_CHARS = 4096, 256
_COMPONENTS = ("predictor", "transformer", "explainer")
_LLM_SUFFIXES = (
    ("-kserve-workload-svc", "workload"),
    ("-epp-service", "router-scheduler"),
    ("-inference-pool", "workload"),
)
_LLM_ROUTE = "-kserve-route"
_OUTWARD = ("outbound|", "outbound_.", "PassthroughCluster")
# In the name of a host that passes a request on: the rewritten authority names the service there.
_HOPS = ("gateway", "activator")


class ProxyFacts(Struct, frozen=True, gc=False):
    """What is known of one exchange and its proxy; empty where unknown.

    ``proxy_type`` is the node id's first part (``sidecar``, ``router``, ``waypoint``), see `proxy_type_of`.
    """

    proxy_type: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = {}
    upstream_cluster: str = ""
    authority: str = ""
    route_name: str = ""
    path: str = ""


class Match(Struct, frozen=True, gc=False):
    """The service of an exchange, or why there is none. ``kind`` is None where the rule cannot tell."""

    namespace: str = ""
    name: str = ""
    kind: str | None = None
    component: str = ""
    matched_by: MatchedBy = UNMATCHED
    reason: str = ""

    @property
    def matched(self) -> bool:
        """Whether a service was found."""
        return self.matched_by != UNMATCHED


class _Found(Struct, frozen=True, gc=False):
    namespace: str
    name: str
    kind: str | None
    component: str


_Rule = Callable[[ProxyFacts, Knows], _Found | None]


def proxy_type_of(node_id: str) -> str:
    """``sidecar`` of ``sidecar~10.1.2.3~pod.ns~ns.svc.cluster.local``; empty if the id has no such form."""
    kind, separator, _ = node_id.partition("~")
    return kind if separator else ""


def _unknown(_namespace: str, _name: str) -> bool:
    return False


def match(facts: ProxyFacts, knows: Knows = _unknown) -> Match:
    """The service that this exchange belonged to.

    ``knows`` is asked only where a name alone proves nothing (a host or a path without one of KServe's own suffixes).
    """
    for rule, matched_by in _RULES:
        found = rule(facts, knows)
        if found is not None:
            return Match(found.namespace, found.name, found.kind, found.component, matched_by)
        reason = _settled(facts, matched_by)
        if reason:
            return Match(reason=reason)
    return Match(reason="neither upstream cluster, authority, route nor path names a known service")


class Matcher:
    """`match` for exchanges. What a proxy's own words alone decide, whatever was asked and is known, is remembered: of so many proxies and
    clusters, and of the same object for a node, as the correlator holds it.
    """

    def __init__(self, knows: Knows, most: int = _REMEMBERED) -> None:
        self._knows, self._most = knows, most
        self._decided: dict[tuple[int, str], tuple[Node, Match | None]] = {}  # a node that is kept here is the only one of its id

    def of(self, node: Node, cluster: str, authority: str, route: str, path: str) -> Match:
        """The service of an exchange that this node's proxy told of."""
        _, found = self._decided.get((id(node), cluster)) or self._decide(node, cluster)
        if found is not None:
            return found
        return match(ProxyFacts(proxy_type_of(node.id), node.namespace, node.labels, cluster, authority, route, path), self._knows)

    def _decide(self, node: Node, cluster: str) -> tuple[Node, Match | None]:
        found = _by_labels(ProxyFacts(proxy_type_of(node.id), node.namespace, node.labels, cluster))
        if len(cluster) <= _REMEMBERED_CHARS:
            if len(self._decided) >= self._most:
                self._decided.clear()
            self._decided[id(node), cluster] = node, found
        return node, found


def _by_labels(facts: ProxyFacts) -> Match | None:
    """What the first rule says, which asks nothing but the proxy; None: the others are to be asked."""
    found = _own_labels(facts, _unknown)
    if found is not None:
        return Match(found.namespace, found.name, found.kind, found.component, "node_labels")
    reason = _settled(facts, "node_labels")
    return Match(reason=reason) if reason else None


def _settled(facts: ProxyFacts, after: str) -> str:
    """Why no later rule may be asked: authority, route and path are the client's words, and must not outvote the
    proxy's.

    A sidecar that serves its own pod is no model if its labels name none, and a request that went to a named host
    belongs to that host, unless it is one more gateway on the way.
    """
    cluster = facts.upstream_cluster
    if after == "node_labels" and facts.labels and facts.proxy_type == "sidecar" and not cluster.startswith(_OUTWARD):
        if facts.labels.get("serving.kserve.io/inferencegraph"):
            return "the pod serves an InferenceGraph, not a service"
        return "the pod carries no label of an InferenceService"
    if after == "upstream_cluster":
        host = _host_of(cluster)
        if host and not any(hop in host.partition(".")[0] for hop in _HOPS):
            return f"the upstream {host} is no known service"
    return ""


def _own_labels(facts: ProxyFacts, _knows: Knows) -> _Found | None:
    labels = facts.labels
    if not labels or not facts.namespace or facts.upstream_cluster.startswith(_OUTWARD):
        return None
    name = labels.get("serving.kserve.io/inferenceservice")
    if name:
        return _Found(facts.namespace, name, INFERENCE_SERVICE, labels.get("component", ""))
    if labels.get("app.kubernetes.io/part-of") == "llminferenceservice" and labels.get("app.kubernetes.io/name"):
        component = labels.get("app.kubernetes.io/component", "").removeprefix("llminferenceservice-")
        return _Found(facts.namespace, labels["app.kubernetes.io/name"], LLM_INFERENCE_SERVICE, component)
    for label in ("service", "configuration"):
        found = _named(facts.namespace, labels.get(f"serving.knative.dev/{label}", ""))
        if found is not None:
            return found
    return None


def _upstream(facts: ProxyFacts, knows: Knows) -> _Found | None:
    host = _host_of(facts.upstream_cluster)
    return _hosted(host, facts, knows) if host else None


def _host_of(cluster: str) -> str:
    """``host`` of ``outbound|80|subset|host``, ``inbound-vip|80|http|host``, ``outbound_.80_.subset_.host``; else
    empty.
    """
    if cluster.startswith("outbound_."):
        return cluster.rpartition("_.")[2].rstrip(";")
    return cluster.rpartition("|")[2].rstrip(";") if cluster.startswith(("outbound|", "inbound-vip|", "inbound|")) else ""


def _authority(facts: ProxyFacts, knows: Knows) -> _Found | None:
    host = facts.authority.lower()
    if not host or host[0] == "[" or (host[0].isdigit() and host.replace(".", "").replace(":", "").isdigit()):
        return None
    return _hosted(host.partition(":")[0].rstrip("."), facts, knows)


def _hosted(host: str, facts: ProxyFacts, knows: Knows) -> _Found | None:
    """The service of ``name.namespace…`` or ``name-namespace.domain``; a bare ``name`` means the proxy's own
    namespace.
    """
    first, _, rest = host.partition(".")
    namespace = rest.partition(".")[0] or (facts.namespace if facts.proxy_type != "router" else "")
    found = _named(namespace, first) if namespace and _inside(rest) else None
    if found is not None:
        return found
    return next((f for f in _candidates(namespace, first) if _is_known(f, knows)), None)


def _inside(rest: str) -> bool:
    """Whether the part behind the first dot is a cluster's own: elsewhere the second label need not be a namespace."""
    return not rest or rest.partition(".")[2].split(".", 1)[0] == "svc"


def _candidates(namespace: str, first: str) -> Iterator[_Found]:
    if namespace:
        found = _named(namespace, first)
        if found is not None:
            yield found
        yield _Found(namespace, first, None, "")
    # KServe's older domain template, {{ .Name }}-{{ .Namespace }}: either part may hold hyphens itself.
    parts = first.split("-")
    for cut in range(len(parts) - 1, 0, -1):
        name, inner = "-".join(parts[:cut]), "-".join(parts[cut:])
        found = _named(inner, name)
        if found is not None:
            yield found
        yield _Found(inner, name, None, "")


def _named(namespace: str, service: str) -> _Found | None:
    """The service behind a name that KServe or Knative made: ``llama-predictor``, ``llama-predictor-00002-private``…"""
    if not service or not namespace:
        return None
    for suffix, component in _LLM_SUFFIXES:
        name, found, rest = service.partition(suffix)
        # Istio gives an InferencePool a Service named <pool>-ip-<hash>.
        if found and name and (not rest or (suffix == "-inference-pool" and rest.startswith("-ip-"))):
            return _Found(namespace, name, LLM_INFERENCE_SERVICE, component)
    stem = _without_revision(service)
    for component in _COMPONENTS:
        for suffix in (f"-{component}", f"-{component}-default", f"-{component}-canary"):
            if len(stem) > len(suffix) and stem.endswith(suffix):
                return _Found(namespace, stem[: -len(suffix)], INFERENCE_SERVICE, component)
    return None


def _without_revision(service: str) -> str:
    stem = service.removesuffix("-private")
    base, _, number = stem.rpartition("-")
    return base if base and len(number) == 5 and number.isdigit() else stem


def _route(facts: ProxyFacts, knows: Knows) -> _Found | None:
    """Istio names the routes of an HTTPRoute ``namespace.name.index``; KServe names the HTTPRoute after the service."""
    namespace, _, rest = facts.route_name.partition(".")
    route, _, index = rest.rpartition(".")
    if not route or not index.isdigit():
        return None
    if namespace and route.endswith(_LLM_ROUTE) and len(route) > len(_LLM_ROUTE):
        return _Found(namespace, route.removesuffix(_LLM_ROUTE), LLM_INFERENCE_SERVICE, "")
    found = _named(namespace, route)
    if found is not None:
        return found
    plain = _Found(namespace, route, None, "")
    return plain if _is_known(plain, knows) else None


def _path(facts: ProxyFacts, knows: Knows) -> _Found | None:
    """``/namespace/name/…`` and ``/serving/namespace/name/…``; at a waypoint also the model of V1 and V2 paths."""
    parts = facts.path.partition("?")[0].split("/", 5)[1:]
    if parts and parts[0] == "serving":
        parts = parts[1:]
    if len(parts) >= 2:
        found = _Found(parts[0], parts[1], None, "")
        if _is_known(found, knows):
            return found
    if facts.proxy_type != "router" and len(parts) >= 3 and parts[0] in ("v1", "v2") and parts[1] == "models":
        found = _Found(facts.namespace, parts[2].partition(":")[0], None, "")
        if _is_known(found, knows):
            return found
    return None


def _is_known(found: _Found, knows: Knows) -> bool:
    return bool(found.namespace and found.name) and knows(found.namespace, found.name)


_RULES: tuple[tuple[_Rule, MatchedBy], ...] = (
    (_own_labels, "node_labels"),
    (_upstream, "upstream_cluster"),
    (_authority, "authority"),
    (_route, "route_name"),
    (_path, "path"),
)
