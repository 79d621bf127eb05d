"""The pods of the demo as their proxies announce them: a predictor, a language model and a gateway. services.yaml has the services."""

from __future__ import annotations

from collections.abc import Mapping

from collector.demo.envoy_config import Workload

COST_CENTER = "billing.example.com/cost-center"
COST_CENTERS: Mapping[str, str] = {"iris": "1001", "chat": "2002"}  # as services.yaml has them

# Labels as KServe 0.17 gives them to an LLMInferenceService's pods.
_LLM_LABELS: Mapping[str, str] = {
    "app.kubernetes.io/part-of": "llminferenceservice",
    "app.kubernetes.io/name": "chat",
    "app.kubernetes.io/component": "llminferenceservice-workload",
    "meshscribe.io/tap": "true",
}

GATEWAY = Workload(pod="gateway-0", workload="gateway", labels={"app": "gateway", "meshscribe.io/tap": "true"}, kind="router")
CHAT_CLUSTER = "outbound|8000||chat-kserve-workload-svc.demo.svc.cluster.local"
WORKLOADS: Mapping[str, Workload] = {
    "iris": Workload(),
    "chat": Workload(pod="chat-kserve-0", workload="chat-kserve", labels=_LLM_LABELS),
}
