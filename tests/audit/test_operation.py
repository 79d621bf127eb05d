"""Probes, metrics, the manual, and the headers of every answer."""

from __future__ import annotations

import re

import pytest

from collector.audit.parameters import ExchangeQuery, ExportQuery, LedgerQuery
from collector.health import Component
from tests.audit.conftest import Api


async def test_ready_while_every_part_works_and_503_when_one_does_not(api: Api) -> None:
    answer = await api.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["components"][0] == {"name": "journal", "ok": True, "detail": "3 entries wait"}
    api.parts.all.append(Component("sink", False, "disk full"))
    answer = await api.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ok"] is False
    assert answer.json()["components"][-1] == {"name": "sink", "ok": False, "detail": "disk full"}
    assert (await api.get("/healthz")).status_code == 200


async def test_metrics_are_those_of_the_registry_and_the_apis_own_by_route(api: Api) -> None:
    await api.get("/v1/exchanges/some-id")
    await api.get("/nowhere/at/all")
    text = (await api.get("/metrics")).text
    assert "meshscribe_batches_total 3.0" in text
    assert 'meshscribe_audit_requests_total{route="/v1/exchanges/{id}",status="404"} 1.0' in text
    assert 'meshscribe_audit_requests_total{route="none",status="404"} 1.0' in text
    assert "some-id" not in text


async def test_openmetrics_on_request(api: Api) -> None:
    answer = await api.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    "path", ["/v1/exchanges", "/v1/ledger", "/healthz", "/metrics", "/docs", "/openapi.json", "/nowhere", "/v1/exchanges?x=1"]
)
async def test_every_answer_carries_the_security_headers(api: Api, path: str) -> None:
    headers = (await api.client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control-")]


async def test_the_manual_loads_nothing_from_elsewhere(api: Api) -> None:
    page = await api.get("/docs")
    assert "://" not in page.text
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        answer = await api.get(f"/{asset}")
        assert answer.status_code == 200, asset
        assert len(answer.content) > 50
    assert "openapi.json" in (await api.get("/docs/start.js")).text
    assert "script-src 'self';" in page.headers["content-security-policy"]


async def test_the_description_names_every_parameter_with_words(api: Api) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    for path, model in (("/v1/exchanges", ExchangeQuery), ("/v1/export", ExportQuery), ("/v1/ledger", LedgerQuery)):
        described = {p["name"]: p for p in paths[path]["get"]["parameters"]}
        assert set(described) == set(model.model_fields)
        assert all(p["description"] for p in described.values())
    assert set(paths) == {
        "/v1/exchanges",
        "/v1/exchanges/{id}",
        "/v1/exchanges/{id}/request",
        "/v1/exchanges/{id}/response",
        "/v1/exchanges/{id}/events",
        "/v1/export",
        "/v1/tail",
        "/v1/calls/{request_id}",
        "/v1/services",
        "/v1/services/{namespace}/{name}/versions",
        "/v1/access",
        "/v1/exchanges/{id}/access",
        "/v1/ledger",
        "/v1/ledger/map",
        "/v1/exchanges/{id}/conversation",
        "/v1/exchanges/{id}/timeline",
        "/v1/facets",
        "/v1/histogram",
        "/v1/usage",
        "/healthz",
        "/readyz",
        "/readyz/ingest",
        "/metrics",
    }


async def test_the_description_has_no_error_that_the_api_does_not_send(api: Api) -> None:
    described = (await api.get("/openapi.json")).json()
    assert "HTTPValidationError" not in described["components"]["schemas"]
    responses = described["paths"]["/v1/exchanges"]["get"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "421", "429", "431", "500", "503"}
    assert list(responses["400"]["content"]) == ["application/problem+json"]


async def test_the_description_has_no_schema_that_nothing_refers_to(api: Api) -> None:
    described = (await api.get("/openapi.json")).json()
    schemas = described["components"]["schemas"]
    assert not [name for name in schemas if f"#/components/schemas/{name}" not in str(described)]
    assert {"Record", "RecordedBody", "Inference", "UsageNumber", "Problem", "Hop", "Freshness"} <= set(schemas)


async def test_a_parameter_that_may_be_absent_is_not_described_as_null(api: Api) -> None:
    described = (await api.get("/openapi.json")).json()
    parameters = [p for path in described["paths"].values() for p in path["get"].get("parameters", ())]
    assert not [p["name"] for p in parameters if "null" in str(p["schema"])]
    assert {p["name"]: p["schema"]["type"] for p in parameters}["limit"] == "integer"
