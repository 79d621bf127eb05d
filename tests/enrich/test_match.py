"""Rules on the attributes of real proxies: cluster and route names as istiod made them, labels as KServe sets them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.match import UNMATCHED, Match, ProxyFacts, match, proxy_type_of

ISVC, LLM = "InferenceService", "LLMInferenceService"
KNOWN = {("models", "llama"), ("team-a", "iris-v2")}
GATEWAY = {"proxy_type": "router", "namespace": "istio-system", "labels": {"istio": "ingressgateway"}}
WAYPOINT = {"proxy_type": "waypoint", "namespace": "models"}


def knows(namespace: str, name: str) -> bool:
    return (namespace, name) in KNOWN


def found(**facts: Any) -> tuple[str, str, str | None, str, str]:
    one = match(ProxyFacts(**facts), knows)
    return one.namespace, one.name, one.kind, one.component, one.matched_by


def beside(labels: dict[str, str], **more: Any) -> dict[str, Any]:
    facts = {"proxy_type": "sidecar", "namespace": "models", "labels": labels, "upstream_cluster": "inbound|8080||"}
    return facts | more


OWN_LABELS = {
    "KServe's own": (
        {"serving.kserve.io/inferenceservice": "llama", "component": "transformer"},
        ("models", "llama", ISVC, "transformer", "node_labels"),
    ),
    "Knative's service": (
        {"serving.knative.dev/service": "llama-predictor", "serving.knative.dev/revision": "llama-predictor-00002"},
        ("models", "llama", ISVC, "predictor", "node_labels"),
    ),
    "Knative's configuration, older names": (
        {"serving.knative.dev/configuration": "llama-predictor-default"},
        ("models", "llama", ISVC, "predictor", "node_labels"),
    ),
    "an LLM service": (
        {
            "app.kubernetes.io/part-of": "llminferenceservice",
            "app.kubernetes.io/name": "llm",
            "app.kubernetes.io/component": "llminferenceservice-workload-prefill",
        },
        ("models", "llm", LLM, "workload-prefill", "node_labels"),
    ),
}


@pytest.mark.parametrize(("labels", "expected"), OWN_LABELS.values(), ids=OWN_LABELS.keys())
def test_a_sidecar_names_its_service_by_its_pod_labels(labels: dict[str, str], expected: tuple[str, ...]) -> None:
    assert found(**beside(labels)) == expected


UPSTREAMS = {
    "outbound|80||llama-predictor.models.svc.cluster.local": ("models", "llama", ISVC, "predictor"),
    "outbound|80|v2|llama-transformer.models.svc.cluster.local": ("models", "llama", ISVC, "transformer"),
    "outbound_.80_.v2_.llama-predictor.models.svc.cluster.local": ("models", "llama", ISVC, "predictor"),
    "inbound-vip|80|http|llama-explainer.models.svc.cluster.local": ("models", "llama", ISVC, "explainer"),
    "outbound|80||llama-predictor-00003.models.svc.cluster.local": ("models", "llama", ISVC, "predictor"),
    "outbound|80||llama-predictor-00003-private.models.svc.cluster.local;": ("models", "llama", ISVC, "predictor"),
    "outbound|8000||qwen-kserve-workload-svc.llm.svc.cluster.local": ("llm", "qwen", LLM, "workload"),
    "outbound|9002||qwen-epp-service.llm.svc.cluster.local": ("llm", "qwen", LLM, "router-scheduler"),
    "outbound|54321||qwen-inference-pool-ip-cf7269e1.llm.svc.cluster.local": ("llm", "qwen", LLM, "workload"),
    "outbound|80||llama.models.svc.cluster.local": ("models", "llama", None, ""),
}


@pytest.mark.parametrize(("cluster", "expected"), UPSTREAMS.items())
@pytest.mark.parametrize("proxy", [GATEWAY, WAYPOINT], ids=["gateway", "waypoint"])
def test_gateways_and_waypoints_name_it_by_the_upstream(proxy: dict[str, Any], cluster: str, expected: tuple[str, ...]) -> None:
    assert found(**proxy, upstream_cluster=cluster, authority="anything.example.com") == (*expected, "upstream_cluster")


AUTHORITIES = {
    "llama.models.example.com": ("models", "llama", None, ""),
    "LLAMA-predictor.models.example.com:443": ("models", "llama", ISVC, "predictor"),
    "llama-models.example.com": ("models", "llama", None, ""),
    "iris-v2-team-a.example.com": ("team-a", "iris-v2", None, ""),
    "new-predictor.other.svc.cluster.local": ("other", "new", ISVC, "predictor"),
    "llama-predictor.models": ("models", "llama", ISVC, "predictor"),
}


@pytest.mark.parametrize(("authority", "expected"), AUTHORITIES.items())
def test_where_the_upstream_is_one_more_gateway_the_authority_names_it(authority: str, expected: tuple[str, ...]) -> None:
    hop = "outbound|80||knative-local-gateway.istio-system.svc.cluster.local"
    assert found(**GATEWAY, upstream_cluster=hop, authority=authority) == (*expected, "authority")
    assert found(**GATEWAY, authority=authority) == (*expected, "authority")


@pytest.mark.parametrize("authority", ["example.com", "llama-predictor.com", "10.0.0.7:8080", "[::1]:80", "", "frontend.shop.example.com"])
def test_an_authority_that_names_no_known_service_is_not_taken_for_one(authority: str) -> None:
    assert found(**GATEWAY, authority=authority)[4] == UNMATCHED


def test_a_bare_host_means_the_proxys_own_namespace_but_not_at_a_gateway() -> None:
    assert found(**WAYPOINT, authority="llama-predictor") == ("models", "llama", ISVC, "predictor", "authority")
    assert found(**GATEWAY, authority="llama-predictor")[4] == UNMATCHED


ROUTES = {
    "llm.qwen-kserve-route.0": ("llm", "qwen", LLM, ""),
    "models.llama.1": ("models", "llama", None, ""),
    "models.new-predictor.0": ("models", "new", ISVC, "predictor"),
}


@pytest.mark.parametrize(("route", "expected"), ROUTES.items())
def test_the_route_that_istio_makes_of_an_httproute_names_it(route: str, expected: tuple[str, ...]) -> None:
    assert found(**GATEWAY, route_name=route) == (*expected, "route_name")


@pytest.mark.parametrize("route", ["default", "allow_any", "shop.frontend.0", "a.b", "x.-kserve-route.0", ""])
def test_other_routes_name_nothing(route: str) -> None:
    assert found(**GATEWAY, route_name=route)[4] == UNMATCHED


@pytest.mark.parametrize(
    ("proxy", "path", "expected"),
    [
        (GATEWAY, "/models/llama/v1/chat/completions?x=1", ("models", "llama")),
        (GATEWAY, "/serving/models/llama/v1/models/llama:predict", ("models", "llama")),
        (WAYPOINT, "/v1/models/llama:predict", ("models", "llama")),
        (WAYPOINT, "/v2/models/llama/versions/1/infer", ("models", "llama")),
    ],
)
def test_a_path_that_holds_namespace_and_name_names_it(proxy: dict[str, Any], path: str, expected: tuple[str, str]) -> None:
    assert found(**proxy, path=path) == (*expected, None, "", "path")


def test_a_model_in_a_path_proves_nothing_at_a_gateway() -> None:
    assert found(**GATEWAY, path="/v1/models/llama:predict")[4] == UNMATCHED


def test_a_client_cannot_name_a_service_by_its_host_header() -> None:
    lies = {"authority": "llama-predictor.models.svc.cluster.local", "path": "/models/llama/v1"}
    at_gateway = match(ProxyFacts(**GATEWAY, upstream_cluster="outbound|80||shop.web.svc.cluster.local", **lies), knows)
    assert at_gateway == Match(reason="the upstream shop.web.svc.cluster.local is no known service")
    at_sidecar = match(ProxyFacts(**beside({"app": "shop"}, namespace="web"), **lies), knows)
    assert at_sidecar == Match(reason="the pod carries no label of an InferenceService")


def test_a_call_from_a_models_pod_belongs_to_the_service_it_goes_to() -> None:
    labels = {"serving.kserve.io/inferenceservice": "llama", "component": "transformer"}
    cluster = "outbound|80||other-predictor.models.svc.cluster.local"
    assert found(**beside(labels, upstream_cluster=cluster))[:2] == ("models", "other")
    assert found(**beside(labels, upstream_cluster="PassthroughCluster"))[4] == UNMATCHED


def test_an_inference_graph_says_what_it_is() -> None:
    one = match(ProxyFacts(**beside({"serving.kserve.io/inferencegraph": "g"})), knows)
    assert one.reason == "the pod serves an InferenceGraph, not a service"


def test_an_unmatched_exchange_says_why() -> None:
    assert match(ProxyFacts()).reason == "neither upstream cluster, authority, route nor path names a known service"


def test_the_proxy_type_is_the_first_part_of_the_node_id() -> None:
    assert proxy_type_of("waypoint~10.1.2.3~pod.ns~ns.svc.cluster.local") == "waypoint"
    assert proxy_type_of("my-node") == ""


# What istiod 1.30 gave a sidecar in the namespace models, beside an InferenceService llama.
CLUSTERS_OF_A_SIDECAR = (
    "BlackHoleCluster",
    "InboundPassthroughCluster",
    "PassthroughCluster",
    "inbound|8080||",
    "outbound|4315||tap-collector.mesh-tap.svc.cluster.local",
    "outbound|8000||tap-collector.mesh-tap.svc.cluster.local",
    "outbound|80||llama-predictor.models.svc.cluster.local",
)


def test_of_the_clusters_that_istiod_makes_only_the_models_is_a_service() -> None:
    matched = {name: found(proxy_type="sidecar", namespace="models", upstream_cluster=name) for name in CLUSTERS_OF_A_SIDECAR}
    services = {name: one[:4] for name, one in matched.items() if one[4] != UNMATCHED}
    assert services == {"outbound|80||llama-predictor.models.svc.cluster.local": ("models", "llama", ISVC, "predictor")}


@given(
    st.builds(
        ProxyFacts, *[st.text(max_size=30)] * 2, st.dictionaries(st.text(max_size=9), st.text(max_size=9)), *[st.text(max_size=60)] * 4
    )
)
def test_any_text_is_answered(facts: ProxyFacts) -> None:
    one = match(facts, lambda _namespace, _name: True)
    assert one.matched == bool(one.name)
    assert one.matched != bool(one.reason)


@given(st.sampled_from(["outbound|", "inbound-vip|80|http|", "outbound_.80_._."]), st.text("abc-.|_0", max_size=40))
def test_any_cluster_name_is_answered(prefix: str, rest: str) -> None:
    one = match(ProxyFacts(proxy_type="router", upstream_cluster=prefix + rest), knows)
    assert one.matched == bool(one.name and one.namespace)
