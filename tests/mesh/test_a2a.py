"""The official A2A client and agent through the real Envoy, in all three bindings: the record says what the client's library parsed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from collector.demo.child import Child
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.parts import answers
from collector.demo.ports import Ports
from tests.mesh.clients import python_with
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, Mesh
from tests.mesh.two_hops import ROOT

pytestmark = [pytest.mark.mesh, pytest.mark.slow]

AGENT = ["a2a-sdk[grpc,http-server]==1.3.0", "uvicorn==0.54.0"]
BINDINGS = ("jsonrpc", "http+json", "grpc")
CALLS = ("send", "stream", "asks", "get", "cancel", "missing")


class Told(NamedTuple):
    mesh: Mesh
    calls: dict[str, Any]


@pytest.fixture(scope="module")
def told(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """What the client told of each of its calls."""
    folder = tmp_path_factory.mktemp("a2a")
    command = [python_with("MESHSCRIBE_A2A_PYTHON", "a2a", AGENT), str(ROOT / "tests/mesh/a2a_agent.py")]
    with Ports() as ports:
        http_port, grpc_port, tap = ports.take(), ports.take(), tap_config(**QUICK_TAP)
        over_http = Inbound(ports.take(), http_port, tap)
        over_grpc = Inbound(ports.take(), grpc_port, tap, service_port=9000, http2=True)
        ingest, als = mesh.collector.ingest_port, mesh.collector.grpc_port
        sidecar = Sidecar(ports.take(), [over_http, over_grpc], ingest, als, tap_wasm(), log_flush_seconds=LOG_FLUSH_SECONDS)
        agent = Child("the agent", [*command, "serve", str(http_port), str(grpc_port)], Path(folder / "agent.log"))
        envoy = Envoy(bootstrap(sidecar), folder, concurrency=1)
        try:
            agent.start(lambda: answers(f"http://127.0.0.1:{http_port}/.well-known/agent-card.json"), 60.0)
            envoy.start()
            call = [*command, "call", f"http://127.0.0.1:{over_http.port}", f"127.0.0.1:{over_grpc.port}"]
            done = subprocess.run(call, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr[-3000:]
            yield Told(mesh, json.loads(done.stdout.splitlines()[-1]))
        finally:
            envoy.stop()
            agent.stop()


@pytest.mark.parametrize("name", [f"{binding} {call}" for binding in BINDINGS for call in CALLS])
def test_the_record_says_what_the_client_parsed(told: Told, name: str) -> None:
    call = told.calls[name]
    [record] = told.mesh.exchanges(call["request_id"], 1, [{"complete"}, {"complete", "client_aborted"}])
    inference = record["inference"]
    assert (inference["protocol"], inference["operation"]) == ("a2a", call["operation"])
    assert inference["a2a"] | call["a2a"] == inference["a2a"]
    assert inference["a2a"]["protocol_version"] == "1.0"
    assert ("error" in inference) is call.get("failed", False)
    assert (record["hop"]["billable"], "usage" in record, "usage_absent" in record) == (False, False, False)
