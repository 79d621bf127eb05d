"""Ollama's, Google's, Amazon's and Cohere's own clients through the real Envoy: what the record says equals what their libraries parsed.

They run in an environment of their own: MESHSCRIBE_NATIVE_CLIENTS_PYTHON names its Python; without it one is made in
`.cache/native-clients`, which downloads 60 MB once.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import httpx
import pytest

from tests.mesh.clients import python_with
from tests.mesh.harness import new_id
from tests.mesh.two_hops import ROOT, TwoHops, usage_of

pytest_plugins = ["tests.mesh.shared"]
pytestmark = [pytest.mark.mesh, pytest.mark.slow]

CLIENTS = ["ollama==0.6.3", "google-genai==3.6.1", "botocore==1.44.8", "cohere==7.3.1"]
CALLS = {
    "ollama": ("ollama stream", "ollama chat", "ollama generate", "ollama embed", "ollama error"),
    "gemini": ("gemini", "gemini stream", "gemini count", "gemini embed", "gemini error"),
    "cohere": ("cohere chat", "cohere stream", "cohere embed", "cohere rerank", "cohere error"),
    "bedrock": ("converse", "converse stream", "invoke", "invoke stream", "bedrock error"),
}


@pytest.fixture(scope="module")
def calls(two_hops: TwoHops) -> dict[str, Any]:
    """What each client told of each of its calls."""
    python = python_with("MESHSCRIBE_NATIVE_CLIENTS_PYTHON", "native-clients", CLIENTS)
    found: dict[str, Any] = {}
    for library in CALLS:
        command = [python, str(ROOT / "tests/mesh/native_clients.py"), library, two_hops.url("tapped")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", [name for names in CALLS.values() for name in names])
def test_the_client_parsed_the_same(two_hops: TwoHops, calls: dict[str, Any], name: str) -> None:
    call = calls[name]
    record = two_hops.exchange(call["request_id"], "complete", listener="tapped")
    inference = record["inference"] | {"error": record["inference"].get("error", {}).get("message")}
    assert {key: inference.get(key) for key in call["inference"]} == call["inference"]
    told = {key: number["value"] for key, number in record.get("usage", {}).items() if key != "other"}
    assert {key: told.get(key) for key in call["usage"]} == call["usage"]
    assert "problems" not in record
    event = usage_of(record)
    assert event is not None
    assert event["hop"]["billable"] is bool(call["usage"])  # what failed, and what only counts, is never billed
    assert "NOTTOBESTORED" not in json.dumps(record)


def test_a_stream_of_gemini_without_events_is_an_array_that_grows(two_hops: TwoHops) -> None:
    name = new_id()
    with httpx.Client(base_url=two_hops.url("tapped"), trust_env=False, timeout=30) as http:
        sent = http.post("/v1beta/models/m:streamGenerateContent", json={"contents": []}, headers={"x-request-id": name})
    record = two_hops.exchange(name, "complete", listener="tapped")
    assert record["inference"]["streamed"] is True
    assert record["usage"]["total_tokens"]["value"] == sent.json()[-1]["usageMetadata"]["totalTokenCount"]
