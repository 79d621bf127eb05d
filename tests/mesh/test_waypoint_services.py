"""Whose traffic it was, at an ambient mesh's waypoint: it serves many services, so its own labels say nothing and its upstreams do.

A real Envoy whose node, labels and clusters are named as istiod names a waypoint's, (test_internal_listener.py has the way in).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from collector.demo.audit import Audit, Record
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, Workload, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.parts import CollectorProcess, ModelServer
from collector.demo.ports import Ports
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, SETTINGS, Mesh, new_id
from tests.mesh.rawhttp import request

pytestmark = pytest.mark.mesh

LABELS = {"gateway.networking.k8s.io/gateway-name": "waypoint", "meshscribe.io/tap": "true"}
# The listener's service port → the upstream cluster: of a service, of a subset of one, of another service, and of a pod's own address.
CLUSTERS = {
    8080: "inbound-vip|80|http|iris-predictor.demo.svc.cluster.local",
    8081: "inbound-vip|80|http/v2|iris-transformer.demo.svc.cluster.local",
    8082: "inbound-vip|80|http|cart.shop.svc.cluster.local",
    8083: "encap",
}
SERVICES = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, namespace: demo, annotations: {team: vision}}
"""


class Waypoint(Mesh):
    """A listener for each cluster, by the cluster's name."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = stack.enter_context(Ports())
        (folder / "services.yaml").write_text(SERVICES)
        told = {"MESHSCRIBE_SERVICES__FILE": str(folder / "services.yaml"), "MESHSCRIBE_SERVICES__ANNOTATIONS": '["team"]'}
        self.model = ModelServer(ports.take(), folder)
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, {**SETTINGS, **told})
        tap = tap_config(**QUICK_TAP)
        self._listeners = {name: Inbound(ports.take(), self.model.port, tap, service_port=port) for port, name in CLUSTERS.items()}
        inbound, workload = list(self._listeners.values()), Workload("demo", "waypoint-0", "waypoint", labels=LABELS)
        ingest, grpc = self.collector.ingest_port, self.collector.grpc_port
        sidecar = Sidecar(ports.take(), inbound, ingest, grpc, tap_wasm(), workload, log_flush_seconds=LOG_FLUSH_SECONDS)
        self.envoy = Envoy(as_waypoint(bootstrap(sidecar)), folder)
        for part in (self.model, self.collector, self.envoy):
            stack.callback(part.process.stop)
            part.start()
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))

    def met(self, cluster: str, path: str = "/status?code=200", host: str = "10.96.7.7") -> dict[str, Any]:
        """The record's service of a request that went to this cluster."""
        request_id = new_id()
        with self.raw(cluster) as connection:
            connection.send(request(request_id, path=path).replace(b"host: iris.demo", b"host: " + host.encode()))
            connection.answer()
        record: Record = self.exchange(request_id, "complete", listener=cluster)
        assert record["proxy"]["node"].startswith("waypoint~")
        assert record["upstream"]["cluster"] == cluster
        service: dict[str, Any] = record["service"]
        return service


def as_waypoint(config: dict[str, Any]) -> dict[str, Any]:
    """A sidecar's configuration with a waypoint's names."""
    text = json.dumps(config).replace('"sidecar~', '"waypoint~')
    for port, name in CLUSTERS.items():
        text = text.replace(f"inbound|{port}||", name)
    named: dict[str, Any] = json.loads(text)
    return named


@pytest.fixture(scope="module")
def waypoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypoint]:
    with ExitStack() as stack:
        yield Waypoint(tmp_path_factory.mktemp("waypoint"), stack)


@pytest.mark.parametrize(("port", "component"), [(8080, "predictor"), (8081, "transformer")])
def test_the_upstream_of_a_waypoint_names_the_service(waypoint: Waypoint, port: int, component: str) -> None:
    service = waypoint.met(CLUSTERS[port])
    assert (service["namespace"], service["name"], service["component"]) == ("demo", "iris", component)
    assert (service["matched_by"], service["annotations"]) == ("upstream_cluster", {"team": "vision"})


def test_a_client_of_another_service_cannot_name_one(waypoint: Waypoint) -> None:
    service = waypoint.met(CLUSTERS[8082], "/v1/models/iris:predict", "iris-predictor.demo.svc.cluster.local")
    assert service == {"matched_by": "unmatched", "reason": "the upstream cart.shop.svc.cluster.local is no known service"}


def test_a_request_to_a_pods_own_address_is_matched_by_its_host_or_its_model(waypoint: Waypoint) -> None:
    by_host = waypoint.met("encap", host="iris-predictor.demo.svc.cluster.local")
    by_model = waypoint.met("encap", "/v1/models/iris:predict")
    assert (by_host["name"], by_host["matched_by"]) == ("iris", "authority")
    assert (by_model["name"], by_model["matched_by"], by_model["annotations"]) == ("iris", "path", {"team": "vision"})


def test_a_request_to_a_pods_own_address_that_names_nothing_is_unmatched(waypoint: Waypoint) -> None:
    assert waypoint.met("encap")["matched_by"] == "unmatched"
