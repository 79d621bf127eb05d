"""Which hop of a call an exchange is, and whether it is the one to bill. Decided from its own proxy alone: hops live in different
partitions, so no state is shared between them.

A user's request may pass a gateway, a waypoint, a transformer and a predictor, and each of their proxies reports an exchange. One of them
is billed: by default the predictor's of an InferenceService, the serving one of an LLMInferenceService (not the prefill leg), else the hop
at a workload's own side. The rule's name is on the usage event.
"""

from __future__ import annotations

from typing import Any

from collector.messages.exchange import Exchange

DEFAULT_BILLABLE = ("predictor", "serving", "decode", "server")


def hop(exchange: Exchange, service: dict[str, Any], billable: tuple[str, ...] = DEFAULT_BILLABLE) -> dict[str, Any]:
    """{"role", "billable", "rule"}. `billable`: the roles that are billed."""
    name = role(exchange, service)
    billed = name in billable
    return {"role": name, "billable": billed, "rule": f"{name}-hop" if billed else "not-billed"}


def role(exchange: Exchange, service: dict[str, Any]) -> str:
    """gateway, waypoint, client, transformer, explainer, predictor, prefill, decode, serving or server.

    Sources: Istio's node id (`sidecar~…`, `router~…`, `waypoint~…`), KServe's pod labels, llm-d's role label.
    """
    kind = exchange.node.id.partition("~")[0]
    if kind == "router":
        return "gateway"
    if kind == "waypoint":
        return "waypoint"
    log = exchange.access_log
    if log is not None and log.upstream_cluster.startswith(("outbound|", "outbound_.")):
        return "client"
    labels = exchange.node.labels
    component = service.get("component") or labels.get("component", "")
    if component in ("transformer", "explainer", "predictor"):
        return component
    return _llm_role(labels, service)


def _llm_role(labels: dict[str, str], service: dict[str, Any]) -> str:
    leg = labels.get("llm-d.ai/role", "")
    if leg == "prefill" or labels.get("app.kubernetes.io/component", "").endswith("prefill"):
        return "prefill"
    if leg == "decode":
        return "decode"
    return "serving" if service.get("kind") == "LLMInferenceService" else "server"
