"""The two pods of the demo, a predictor and a language model, as their proxies announce them; services.yaml describes their services."""

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

WORKLOADS: Mapping[str, Workload] = {
    "iris": Workload(),
    "chat": Workload(pod="chat-kserve-0", workload="chat-kserve", labels=_LLM_LABELS),
}
