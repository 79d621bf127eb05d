"""The audit API answers for its own names only: a page that points its name at us gets nothing."""

from __future__ import annotations

import pytest

from collector.audit.hosts import Hosts
from tests.audit.conftest import Api

OURS = [
    "127.0.0.1:8081", "127.0.0.1", "[::1]:8081", "[::1]", "10.1.2.3", "localhost:8081", "LOCALHOST", "a.localhost:1", "audit",
    "meshscribe-audit.meshscribe.svc", "a.b.svc.cluster.local:8081", "a.b.svc.cluster.local.",
    "audit.example.com", "AUDIT.example.com:443", "a.b.mesh.example.org",
]  # fmt: skip
STRANGE = [
    "evil.example", "evil.example:8081", "audit.example.com.evil.example", "xsvc.evil", "127.0.0.1.evil.example", "evilsvc.cluster.local",
    "mesh.example.org", "xaudit.example.com", "localhost.evil.example", "1.2.3", "[evil.example]", "evil.example:80:80", "svc.evil",
]  # fmt: skip
NAMES = ["audit.example.com", "*.mesh.example.org"]


@pytest.mark.parametrize("host", OURS)
def test_ours(host: str) -> None:
    assert Hosts(None, NAMES).allows(host)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", STRANGE)
def test_strange(host: str) -> None:
    assert not Hosts(None, NAMES).allows(host)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/v1/exchanges", "/v1/ledger", "/docs", "/openapi.json", "/nowhere"])
async def test_a_strange_name_is_refused_with_the_settings_name(api: Api, path: str) -> None:
    answer = await api.client.get(path, headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")
    assert "audit.hosts" in answer.json()["detail"]
    assert (await api.client.get("/v1/exchanges", headers={"host": "localhost:8081"})).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_are_answered_under_any_name(api: Api, path: str) -> None:
    assert (await api.client.get(path, headers={"host": "10-0-0-1.pod.example"})).status_code == 200
