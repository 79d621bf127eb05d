"""Refuses requests that ask for a name that is not ours. A page in an auditor's browser may point its own name at this listener's address
(DNS rebinding): the browser then takes what we answer for the page's own, and only the Host header tells.

IP addresses and names without a dot are no attacker's to give away, nor are the cluster's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from collector.audit.probes import PATHS
from collector.audit.problems import problem

ALWAYS = ("*.localhost", "*.svc", "*.svc.cluster.local")


class Hosts:
    """Stands before all routes but the probes'. `names`: allowed too; `*.example.com` is every name below it."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self.app = app
        wanted = [name.lower().rstrip(".") for name in (*ALWAYS, *names)]
        self._names = frozenset(name for name in wanted if not name.startswith("*."))
        self._endings = tuple(name[1:] for name in wanted if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PATHS:
            asked = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            strange = next((host for host in asked if not self.allows(host)), None)
            if strange is not None:
                detail = f"This listener does not answer for the host {strange[:253]!r}: name it in the setting audit.hosts if it should."
                await problem(421, detail)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def allows(self, host: str) -> bool:
        """`host`: as in the header, with or without a port."""
        name = _name(host.strip().lower())
        return "." not in name or name in self._names or name.endswith(self._endings) or _is_address(name)


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
