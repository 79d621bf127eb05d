"""KServe's and Triton's own clients through the real Envoy: what the record says equals what their libraries parsed.

Their dependencies exclude the collector's (protobuf), so they run in an environment of their own: MESHSCRIBE_CLIENTS_PYTHON names its
Python; without it one is made in `.cache/clients`, which downloads 120 MB once.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.mesh.clients import python_with
from tests.mesh.two_hops import ROOT, TwoHops, usage_of

pytest_plugins = ["tests.mesh.shared"]
pytestmark = [pytest.mark.mesh, pytest.mark.slow]

CLIENTS = ["kserve==0.21.0", "tritonclient[grpc,http]==2.73.0"]
KSERVE = ("kserve v1", "kserve v2", "kserve grpc", "kserve grpc error")
TRITON = ("triton http", "triton gzip", "triton grpc", "triton grpc gzip", "triton grpc stream")


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has the clients."""
    return python_with("MESHSCRIBE_CLIENTS_PYTHON", "clients", CLIENTS)


@pytest.fixture(scope="module")
def calls(two_hops: TwoHops, python: str) -> dict[str, Any]:
    """What each client told of each of its calls."""
    found: dict[str, Any] = {}
    addresses = [two_hops.url("tapped"), two_hops.url("gzip"), f"127.0.0.1:{two_hops.port('grpc')}"]
    for library in ("kserve", "triton"):
        command = [python, str(ROOT / "tests/mesh/kserve_clients.py"), library, *addresses]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", [*KSERVE, *TRITON])
def test_the_client_parsed_the_same(two_hops: TwoHops, calls: dict[str, Any], name: str) -> None:
    call = calls[name]
    listener = "grpc" if "grpc" in name else "gzip" if "gzip" in name else "tapped"
    record = two_hops.exchange(call["request_id"], "complete", listener=listener)
    inference = record["inference"] | {"error": record["inference"].get("error", {}).get("message")}
    assert {key: inference.get(key) for key in call["inference"]} == call["inference"]
    assert {key: record["usage"][key]["value"] for key in call["usage"]} == call["usage"]
    assert "problems" not in record
    event = usage_of(record)
    assert event is not None
    assert event["hop"]["billable"] is (inference["error"] is None)  # what failed is never billed
