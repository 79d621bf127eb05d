"""Recognises probes of Kubernetes, Knative and load balancers: they ask whether a pod lives, and are no inference."""

from __future__ import annotations

from collector.correlate.state import Open
from collector.errors import BadInputError
from collector.messages import headers

_AGENTS = ("kube-probe/", "knative-", "envoy/hc", "googlehc/", "elb-healthchecker/")
_HEADERS = ("k-network-probe", "k-kubelet-probe")


def is_probe(open_: Open) -> bool:
    """By the user agent that either witness told, or by Knative's own header."""
    log = open_.access_log
    # Every exchange passes here: the first letter, and a search in the raw block, rule nearly all of them out.
    if log is not None and log.user_agent and log.user_agent[0] in "kKeEgG" and log.user_agent.lower().startswith(_AGENTS):
        return True
    tap = open_.tap
    block = tap.request_headers if tap is not None else None
    if block is None or (b"robe" not in block and b"user-agent" not in block):
        return False
    if log is not None and b"-probe\0" not in block:
        return False
    return _told(block)


def _told(block: bytes) -> bool:
    try:
        named = dict(headers.pairs(block))
    except BadInputError:
        return False
    return named.get("user-agent", "").lower().startswith(_AGENTS) or any(name in named for name in _HEADERS)
