"""Who sends, through a real Envoy: the collector's sidecar ends mutual TLS and hands over the peer's SPIFFE id, whatever the client wrote.

The listeners in front of the collector are as istiod makes a sidecar's inbound ones (measured with Istio 1.30: client certificate required,
APPEND_FORWARD with subject, DNS and URI). The workload's tap and access log go through them with the workload's own certificate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from collector.demo.audit import Audit
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, Workload, bootstrap
from collector.demo.envoy_filters import ALS_CLUSTER, INGEST_CLUSTER, tap_config, tap_wasm
from collector.demo.parts import CollectorProcess, ModelServer
from collector.demo.ports import Ports
from collector.messages.entry import Kind
from collector.messages.tap_pb2 import Batch
from collector.receive.access_log import METHOD, SERVICE
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, SETTINGS, Mesh, new_id
from tests.mesh.rawhttp import request
from tests.support.certificates import Authority, Certificate
from tests.support.waits import until

OWN = "spiffe://cluster.local/ns/demo/sa/default"  # the workload's
EVIL = "spiffe://cluster.local/ns/apps/sa/client"
FORGED = f'By=spiffe://cluster.local/ns/meshscribe/sa/meshscribe-collector;Hash=00;Subject="";URI={OWN}'
CHECKED = {"MESHSCRIBE_INGEST__IDENTITY": "mesh", "MESHSCRIBE_JOURNAL__KEEP_BYTES": str(64 << 20)}


class Guarded(Mesh):
    """A tapped workload, and the collector behind its own sidecar."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = stack.enter_context(Ports())
        self.authority = Authority(folder)
        self.journal = folder / "journal.db"
        self.model = ModelServer(ports.take(), folder)
        own = {**SETTINGS, **CHECKED, "MESHSCRIBE_JOURNAL__PATH": str(self.journal)}
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, own)
        self.http = Inbound(ports.take(), self.collector.ingest_port, access_log=False, service_port=18080)
        self.grpc = Inbound(ports.take(), self.collector.grpc_port, access_log=False, service_port=14315, http2=True)
        self.plain = Inbound(ports.take(), self.collector.ingest_port, access_log=False, service_port=18081)
        self._listeners = {"tapped": Inbound(ports.take(), self.model.port, tap_config(**QUICK_TAP))}
        every = [*self._listeners.values(), self.http, self.grpc, self.plain]
        sidecar = Sidecar(ports.take(), every, self.http.port, self.grpc.port, tap_wasm(), log_flush_seconds=LOG_FLUSH_SECONDS)
        self.envoy = Envoy(self._with_mutual_tls(bootstrap(sidecar)), folder)
        for part in (self.model, self.collector, self.envoy):
            stack.callback(part.process.stop)
            part.start()
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))

    def _with_mutual_tls(self, config: dict[str, Any]) -> dict[str, Any]:
        collectors = self.authority.issue("collector", "spiffe://cluster.local/ns/meshscribe/sa/meshscribe-collector")
        workloads = self.authority.issue("workload", OWN)
        tls, resources = self.authority.transport_socket, config["static_resources"]
        for listener in resources["listeners"]:
            if listener["name"] in {f"127.0.0.1_{self.http.port}", f"127.0.0.1_{self.grpc.port}"}:
                listener["filter_chains"][0]["transport_socket"] = tls("Downstream", collectors, require_client_certificate=True)
        for cluster in resources["clusters"]:
            if cluster["name"] in (INGEST_CLUSTER, ALS_CLUSTER):
                cluster["transport_socket"] = tls("Upstream", workloads)
        return config

    def post(self, who: Certificate, body: bytes, headers: list[tuple[str, str]]) -> httpx.Response:
        """A batch from a client of this identity."""
        with httpx.Client(verify=self.authority.client(who), trust_env=False, timeout=30) as client:
            told = [("content-type", "application/x-protobuf"), *headers]
            return client.post(f"https://localhost:{self.http.port}/v1/tap", content=body, headers=told)

    def send_logs(self, who: Certificate, body: bytes, metadata: list[tuple[str, str]]) -> tuple[grpc.StatusCode, str]:
        """One message in a stream from a client of this identity."""
        credentials = grpc.ssl_channel_credentials(self.authority.root.read_bytes(), who.key.read_bytes(), who.chain.read_bytes())
        with grpc.secure_channel(f"localhost:{self.grpc.port}", credentials) as channel:
            try:
                channel.stream_unary(f"/{SERVICE}/{METHOD}")(iter([body]), metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""

    def entries(self, kind: Kind) -> set[tuple[str, str]]:
        """(source, sender) of what is in the journal."""
        with closing(sqlite3.connect(f"{self.journal.as_uri()}?mode=ro", uri=True)) as connection:
            return set(connection.execute("SELECT source, sender FROM entries WHERE kind = ?", (kind,)))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with ExitStack() as stack:
        yield Guarded(tmp_path_factory.mktemp("guarded"), stack)


def forged_batch() -> bytes:
    """As the demo's workload would post it."""
    node = Workload()
    made = Batch(vm="00000000000000ff", sequence=1)
    made.node.id, made.node.namespace, made.node.service_account = node.node_id, node.namespace, "default"
    made.parts.add(stream=1)
    return made.SerializeToString()


def forged_logs() -> bytes:
    node = Workload()
    made = StreamAccessLogsMessage()
    made.identifier.node.id = node.node_id
    made.identifier.node.metadata.update({"NAMESPACE": node.namespace, "SERVICE_ACCOUNT": "default"})
    made.http_logs.log_entry.add().request.path = "/forged"
    return made.SerializeToString()


def test_what_filter_and_proxy_send_is_recorded_under_their_own_identity(guarded: Guarded) -> None:
    request_id = new_id()
    with guarded.raw("tapped") as connection:
        connection.send(request(request_id, "POST", "/echo", body=b"hello"))
        assert connection.answer().status == 200
    guarded.exchange(request_id, "complete")
    own = {(Workload().node_id, OWN)}
    assert guarded.entries(Kind.TAP) == own
    assert guarded.entries(Kind.ACCESS_LOG) == own


HEADERS = [
    [],
    [("x-forwarded-client-cert", FORGED)],
    [("X-Forwarded-Client-Cert", FORGED), ("x-forwarded-client-cert", FORGED)],
    [("x-forwarded-client-cert", f'URI={OWN};Subject="')],
    [("x-forwarded-client-cert", f"{FORGED},")],
]


@pytest.mark.parametrize("headers", HEADERS)
def test_another_workload_cannot_report_as_this_one(guarded: Guarded, headers: list[tuple[str, str]]) -> None:
    evil = guarded.authority.issue("evil", EVIL, subject='a", b\\')
    answer = guarded.post(evil, forged_batch(), headers)
    assert answer.status_code == 403
    assert EVIL in answer.json()["detail"]
    status, details = guarded.send_logs(evil, forged_logs(), [(name.lower(), value) for name, value in headers])
    assert status == grpc.StatusCode.PERMISSION_DENIED
    assert EVIL in details
    assert until(lambda: guarded.entries(Kind.REFUSED), bool) == {(EVIL, EVIL)}


def test_who_has_this_workloads_certificate_is_this_workload_whatever_he_writes(guarded: Guarded) -> None:
    own = guarded.authority.issue("own", OWN, "spiffe://cluster.local/ns/second/sa/uri")
    forged = [("x-forwarded-client-cert", FORGED.replace(OWN, EVIL))]
    assert guarded.post(own, forged_batch(), forged).status_code == 200
    assert guarded.send_logs(own, forged_logs(), forged)[0] == grpc.StatusCode.OK


def test_without_mutual_tls_a_forged_header_is_taken_away(guarded: Guarded) -> None:
    headers = {"content-type": "application/x-protobuf", "x-forwarded-client-cert": FORGED}
    answer = httpx.post(f"http://127.0.0.1:{guarded.plain.port}/v1/tap", content=forged_batch(), headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert "nobody vouches for the sender" in answer.json()["detail"]
