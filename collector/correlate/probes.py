"""Recognises probes of Kubernetes, Knative and load balancers: they ask whether a pod lives, and are no inference."""

from __future__ import annotations

from collector.correlate.state import Open
from collector.errors import BadInputError
from collector.messages import headers

_AGENTS = ("kube-probe/", "knative-", "envoy/hc", "googlehc/", "elb-healthchecker/")
_HEADERS = ("k-network-probe", "k-kubelet-probe")


def is_probe(open_: Open) -> bool:
    """By the user agent that either witness told, or by Knative's own header; and only where a probe can be: see `may_be_probe`."""
    log = open_.access_log
    # Every exchange passes here: the first letter, and a search in the raw block, rule nearly all of them out.
    if log is not None and log.user_agent and log.user_agent[0] in "kKeEgG" and log.user_agent.lower().startswith(_AGENTS):
        return may_be_probe(log.method, log.path)
    tap = open_.tap
    block = tap.request_headers if tap is not None else None
    if block is None or (b"-probe\0" not in block if log is not None else b"robe" not in block and b"user-agent" not in block):
        return False
    return _told(block)


def may_be_probe(method: str, path: str) -> bool:
    """Whoever calls a model chooses its headers: they must not keep an inference out of the log. A probe has no body to infer from."""
    return method in ("GET", "HEAD") or path.startswith("/grpc.health.v1.Health/")


def _told(block: bytes) -> bool:
    try:
        named = dict(headers.pairs(block))
    except BadInputError:
        return False
    if not may_be_probe(named.get(":method", ""), named.get(":path", "")):
        return False
    return named.get("user-agent", "").lower().startswith(_AGENTS) or any(name in named for name in _HEADERS)
