"""Hosts in what proxies tell of addresses. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address

_V4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)", re.ASCII).fullmatch


def host_of(address: str) -> str:
    """The ip of `ip:port` or `ip`; empty for what is none, and for this machine's own, which every machine has."""
    if not address:
        return ""
    host = address if address.count(":") > 1 and "[" not in address else address.rpartition(":")[0] or address
    if _V4(host):  # as nearly all are: ip_address takes ten times as long
        return "" if host.startswith("127.") or host == "0.0.0.0" else host
    try:
        ip = ip_address(host.strip("[]"))
    except ValueError:
        return ""
    return "" if ip.is_loopback or ip.is_unspecified else str(ip)


def address_in(node: str) -> str:
    """The address that a proxy is known by: Istio's node id is `type~ip~pod.namespace~domain`."""
    parts = node.split("~", 4)
    return parts[1] if len(parts) == 4 else ""


def host_of_node(node: str) -> str:
    """The ip of it."""
    return host_of(address_in(node))
