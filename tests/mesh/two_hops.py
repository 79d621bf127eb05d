"""A gateway's Envoy, a predictor's Envoy behind it, a server of every protocol, a Kubernetes API server and the collector.

The gateway's configuration is made of a sidecar's: what differs for the tap and the access log is the node and the clusters' names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from collector.demo.audit import Audit, Record
from collector.demo.child import Child
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, Workload, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm, typed
from collector.demo.parts import CollectorProcess, answers
from collector.demo.ports import Ports
from collector.describe.usage import usage_event
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, SETTINGS, Mesh, new_id
from tests.mesh.kube import Kubernetes
from tests.support.waits import until

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/usage-event.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
NAMESPACE, NAME = "demo", "iris"  # what the sidecar's labels say
ALLOWED = ["team", "billing.example.com/*"]
LEARNT_SECONDS = 60.0
# Service ports that become the gateway's clusters.
GATEWAY_CLUSTERS = {
    "inbound|8080||": f"outbound|80||{NAME}-predictor.{NAMESPACE}.svc.cluster.local",
    "inbound|8081||": "outbound|80||cart.shop.svc.cluster.local",
}


class Server:
    """tests/mesh/inference_upstream.py as a process."""

    def __init__(self, http_port: int, grpc_port: int, folder: Path) -> None:
        self.port, self.grpc_port = http_port, grpc_port
        command = [sys.executable, "-m", "tests.mesh.inference_upstream", str(http_port), str(grpc_port)]
        self.process = Child("the inference server", command, folder / "server.log", {"PYTHONPATH": str(ROOT)})

    def start(self) -> None:
        self.process.start(lambda: answers(f"http://127.0.0.1:{self.port}/status"), 60.0)

    def release(self, request_id: str) -> None:
        """Let the `gated` stream of this request go on."""
        httpx.post(f"http://127.0.0.1:{self.port}/release/{request_id}", trust_env=False).raise_for_status()


class TwoHops(Mesh):
    """The mesh of the meaning and annotation tests. Listeners: tapped, gzip, grpc (predictor); gateway, elsewhere (gateway)."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = stack.enter_context(Ports())
        self.kubernetes = Kubernetes(folder)
        stack.callback(self.kubernetes.close)
        self.model = Server(ports.take(), ports.take(), folder)
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, settings(self.kubernetes))
        tap, take = tap_config(**QUICK_TAP), ports.take
        predictor = {
            "tapped": Inbound(take(), self.model.port, tap),
            "gzip": Inbound(take(), self.model.port, tap),
            "grpc": Inbound(take(), self.model.grpc_port, tap, service_port=9000, http2=True),
        }
        gateway = {
            "gateway": Inbound(take(), predictor["tapped"].port, tap),
            "elsewhere": Inbound(take(), self.model.port, tap, service_port=8081),
        }
        self._listeners = {**predictor, **gateway}
        config = self._bootstrap(take(), predictor)
        compress(config, predictor["gzip"].port)
        self.envoy = Envoy(config, made(folder / "predictor"))
        workload = Workload("istio-system", "gateway-0", "gateway", labels={"istio": "gateway"})
        self.gateway = Envoy(as_gateway(self._bootstrap(take(), gateway, workload)), made(folder / "gateway"))
        for part in (self.model, self.collector, self.envoy, self.gateway):
            stack.callback(part.process.stop)
            part.start()
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))
        self.http = stack.enter_context(httpx.Client(trust_env=False, timeout=30))

    def _bootstrap(self, admin: int, listeners: Mapping[str, Inbound], workload: Workload | None = None) -> dict[str, Any]:
        ingest, grpc = self.collector.ingest_port, self.collector.grpc_port
        sidecar = Sidecar(
            admin, list(listeners.values()), ingest, grpc, tap_wasm(), workload or Workload(), log_flush_seconds=LOG_FLUSH_SECONDS
        )
        return bootstrap(sidecar)

    def url(self, listener: str) -> str:
        return f"http://127.0.0.1:{self.port(listener)}"

    def learnt(self, metadata: Mapping[str, Any], deleted: bool = False) -> None:
        """Wait until the collector's catalogue holds this version of a service, or that the service is no more."""
        namespace, uid, version = metadata["namespace"], metadata["uid"], metadata["resourceVersion"]
        path = "/v1/services" if deleted else f"/v1/services/{namespace}/{metadata['name']}/versions"

        def known() -> bool:
            found = self.http.get(self.collector.url + path).json().get("items", [])
            return any(each["uid"] == uid and (deleted or each["resource_version"] == version) for each in found)

        settled = until(known, lambda is_known: is_known is not deleted, LEARNT_SECONDS) is not deleted
        assert settled, f"the collector never learnt {version} of {uid}, {deleted=}:\n{self.collector.process.tail()}"

    def infer(self, listener: str = "tapped", request_id: str | None = None, **more: str) -> str:
        """A small KServe V1 request; its request id."""
        request_id = request_id or new_id()
        headers = {"x-request-id": request_id, **more}
        answer = self.http.post(f"{self.url(listener)}/v1/models/iris:predict", json={"instances": [[1, 2]]}, headers=headers)
        assert answer.json() == {"predictions": [3]}
        return request_id


def settings(kubernetes: Kubernetes) -> dict[str, str]:
    return {
        **SETTINGS,
        "MESHSCRIBE_SERVICES__SOURCE": "kubeconfig",
        "MESHSCRIBE_SERVICES__KUBECONFIG": str(kubernetes.kubeconfig),
        "MESHSCRIBE_SERVICES__ANNOTATIONS": json.dumps(ALLOWED),
    }


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def as_gateway(config: dict[str, Any]) -> dict[str, Any]:
    """A sidecar's configuration as an ingress gateway has it: another node type, traffic outbound, clusters by host."""
    text = json.dumps(config).replace('"sidecar~', '"router~').replace('"INBOUND"', '"OUTBOUND"')
    for inbound, outbound in GATEWAY_CLUSTERS.items():
        text = text.replace(inbound, outbound)
    gateway: dict[str, Any] = json.loads(text)
    return gateway


def compress(config: dict[str, Any], port: int) -> None:
    """Put Envoy's compressor between the tap and the router of this listener: the tap then sees the encoded bytes."""
    library = typed("gzip", "envoy.extensions.compression.gzip.compressor.v3.Gzip")
    common = {"content_type": ["application/json", "text/event-stream"], "min_content_length": 10}
    compressor = typed(
        "envoy.filters.http.compressor",
        "envoy.extensions.filters.http.compressor.v3.Compressor",
        compressor_library=library,
        response_direction_config={"common_config": common},
    )
    [listener] = [each for each in config["static_resources"]["listeners"] if each["name"] == f"127.0.0.1_{port}"]
    listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"].insert(-1, compressor)


def usage_of(record: Record) -> dict[str, Any] | None:
    """The usage event that a billing job gets of this record, checked against its schema; None if it gets none."""
    start = int(datetime.fromisoformat(record["start"]).timestamp() * 1_000_000)
    event = usage_event(record, f"/proxy/{record['proxy']['node']}", None, start)
    if event is None:
        return None
    told: dict[str, Any] = json.loads(event.data)
    VALIDATOR.validate(told)
    return told
