"""The mesh of the mix: a predictor's Envoy, a gateway's before it, the Envoy of an application in front, and a collector with rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from collector.demo.audit import Audit
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, Workload, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, SETTINGS
from tests.mesh.two_hops import as_gateway, compress, made

QUIET = [{"name": "quiet", "path": {"prefix": "/quiet"}, "level": "metadata"}]
HIDDEN = json.dumps(["messages[*].content", "usage.units"])
HOPS = {  # how many exchanges an answered request makes, beside one for each try that failed
    "tapped": 1, "compressing": 1, "grpc": 1, "plain": 1, "gateway": 2, "mirroring": 3, "fronted": 2, "fronted, own id": 2,
}  # fmt: skip


class Lab:
    """Started by `open`, ended by the stack that it was given. `ports` by listener; the servers behind are the test's."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        take = stack.enter_context(Ports()).take
        self.server_port, self.grpc_port, self.front_port = take(), take(), take()
        settings = {**SETTINGS, "MESHSCRIBE_REDACTION__PATHS": HIDDEN}
        self.collector = CollectorProcess(take(), take(), take(), folder, settings)
        tap = tap_config(**QUICK_TAP, rules=QUIET)
        predictor = {
            "tapped": Inbound(take(), self.server_port, tap),
            "compressing": Inbound(take(), self.server_port, tap),
            "grpc": Inbound(take(), self.grpc_port, tap, service_port=9000, http2=True),
        }
        behind = predictor["tapped"].port
        gateway = {name: Inbound(take(), behind, tap) for name in ("gateway", "mirroring")}
        front = {
            "fronted": Inbound(take(), self.front_port, tap),
            "plain": Inbound(take(), self.server_port, tap, service_port=8081),
        }
        self.ports = {name: each.port for name, each in (predictor | gateway | front).items()}
        self.ports["fronted, own id"] = self.ports["fronted"]
        own = self._bootstrap(take(), predictor)
        compress(own, self.ports["compressing"])
        before = self._bootstrap(take(), gateway, Workload("istio-system", "gateway-0", "gateway", labels={"istio": "gateway"}))
        plain = self._bootstrap(take(), front, Workload("apps", "guardrail-0", "guardrail", labels={"app": "guardrail"}))
        self.envoys = [
            Envoy(config, made(folder / name))
            for name, config in (("predictor", own), ("gateway", as_gateway(routed(before, self.ports))), ("front", plain))
        ]
        for part in (self.collector, *self.envoys):
            stack.callback(part.process.stop)
            part.start()
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))

    def _bootstrap(self, admin: int, listeners: Mapping[str, Inbound], workload: Workload | None = None) -> dict[str, Any]:
        ingest, grpc = self.collector.ingest_port, self.collector.grpc_port
        sidecar = Sidecar(
            admin, list(listeners.values()), ingest, grpc, tap_wasm(), workload or Workload(), log_flush_seconds=LOG_FLUSH_SECONDS
        )
        return bootstrap(sidecar)


def routed(config: dict[str, Any], ports: Mapping[str, int]) -> dict[str, Any]:
    """A gateway's routes: one tries again what was refused, the other sends copies of all."""
    for listener in config["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        [route] = manager["route_config"]["virtual_hosts"][0]["routes"]
        if listener["name"].endswith(f"_{ports['mirroring']}"):
            route["route"]["request_mirror_policies"] = [{"cluster": route["route"]["cluster"]}]
        else:
            route["route"]["retry_policy"] = {"retry_on": "5xx", "num_retries": 2}
    return config
