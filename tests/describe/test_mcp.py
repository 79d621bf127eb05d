"""Calls of MCP in records: never billed, told by headers where bodies are not, and without tools' arguments and ids of sessions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec import structs

from collector.correlate import Closed
from collector.describe.hops import ROLES
from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE, Place
from collector.messages.exchange import AccessLog, Exchange
from collector.messages.tap_pb2 import METADATA
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from tests.decode import mcp_calls as m
from tests.support import records

SECRET = "Storgata 7"
ARGUMENT = ("mcp-param-address", SECRET)
HEADERS = [*m.modern("tools/call", "weather", ARGUMENT), ("mcp-session-id", "1868a90c-5f3b")]


def told(
    exchange: Exchange, settings: dict[str, Any] | None = None, *versions: ServiceVersion
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The record and the usage event."""
    catalogue = Catalogue()
    for version in versions:
        catalogue.apply(version)
    meaning = ExchangeMeaning.of(Settings.model_validate(settings or {}), catalogue)
    [output] = Stages(meaning, True).outputs([Closed(Place(1, 0), exchange)])
    data = {event.type: orjson.loads(event.data) for event in output.events if event.type in (EXCHANGE_TYPE, USAGE_TYPE)}
    return data[EXCHANGE_TYPE], data.get(USAGE_TYPE)


def logged(headers: list[tuple[str, str]], **more: Any) -> Exchange:
    """An exchange that only the access log told."""
    whole = records.exchange(m.CALLS["mcp call"])
    log = AccessLog(method="POST", path="/mcp", status=200, request_headers=dict(headers))
    return structs.replace(whole, tap=None, access_log=structs.replace(log, **more))


@pytest.mark.parametrize("name", sorted(m.CALLS))
@pytest.mark.parametrize("roles", [None, list(ROLES)])
def test_no_call_is_billed_whatever_the_rule(name: str, roles: list[str] | None) -> None:
    record, event = told(records.exchange(m.CALLS[name]), {"usage": {"billable_hops": roles}} if roles else None)
    assert record["hop"]["billable"] is False
    assert event is None


@pytest.mark.parametrize("witness", ["tap", "log"])
def test_arguments_and_ids_of_sessions_are_in_no_record(witness: str) -> None:
    exchange = (
        logged(HEADERS) if witness == "log" else records.exchange(structs.replace(m.CALLS["mcp initialize"], request_headers=HEADERS))
    )
    record, _ = told(exchange)
    assert ["mcp-param-address", "[redacted]"] in record["request"]["headers"]
    assert ["mcp-session-id", record["inference"]["mcp"]["session"]] in record["request"]["headers"]
    assert SECRET not in repr(record)
    assert "1868a90c" not in repr(record)


def test_a_hash_of_the_filters_stays() -> None:
    hashed = f"hmac-sha256:{'0a' * 16}"
    record, _ = told(logged([*m.modern("tools/call"), ("mcp-session-id", hashed)]))
    assert record["inference"]["mcp"]["session"] == hashed
    tapped = structs.replace(m.CALLS["mcp call"], request_headers=[*m.modern("tools/call"), ("mcp-param-address", hashed)])
    assert ["mcp-param-address", hashed] in told(records.exchange(tapped))[0]["request"]["headers"]


def test_headers_alone_tell_a_call_where_bodies_are_not_tapped() -> None:
    whole = records.exchange(structs.replace(m.CALLS["mcp modern"], request_headers=HEADERS))
    assert whole.tap is not None
    bodiless = structs.replace(whole, tap=structs.replace(whole.tap, level=METADATA))
    for exchange in (bodiless, logged(HEADERS)):
        record, _ = told(exchange)
        inference = record["inference"]
        assert (inference["protocol"], inference["operation"]) == ("mcp", "tools/call")
        expected = {"told_by": "headers", "kind": "request", "method": "tools/call", "name": "weather", "protocol_version": "2026-07-28"}
        assert {key: inference["mcp"][key] for key in expected} == expected


MODEL = ServiceVersion("demo", "iris", "InferenceService", "u-1", "7", 2, 0)


@pytest.mark.parametrize("witness", ["tap", "log"])
def test_a_callers_headers_make_no_call_to_a_model_free(witness: str) -> None:
    def call(headers: list[tuple[str, str]]) -> Exchange:
        return (
            logged(headers, path="/custom")
            if witness == "log"
            else records.exchange(m.posted(None, {"answer": 1}, "/custom", request_headers=headers))
        )

    plain, claimed = (told(call(headers), None, MODEL)[0] for headers in ([], m.modern("tools/call")))
    assert claimed["inference"]["mcp"]["told_by"] == "headers"
    assert (claimed["hop"], claimed["usage_absent"]) == (plain["hop"], plain["usage_absent"])
    assert claimed["hop"]["billable"]
    others = call(m.modern("tools/call"))
    record, _ = told(structs.replace(others, node=structs.replace(others.node, labels={})))
    assert (record["hop"]["billable"], "usage_absent" in record) == (False, False)


def test_an_access_log_alone_tells_no_other_protocol() -> None:
    record, event = told(logged(m.modern("tools/call"), path="/v1/chat/completions"))
    assert "inference" not in record
    assert event is None


def test_rules_hold_for_what_a_call_says() -> None:
    asked = m.call("weather", _meta=m.META) | {"id": "sk-0a0a"}
    exchange = records.exchange(m.posted(asked, m.result(m.BAD_TOOL), "/api"))
    record, _ = told(exchange, {"redaction": {"paths": ["params.name"], "patterns": ["sk-[0-9a-f]{4}", "city"]}})
    assert (record["inference"]["protocol"], record["inference"]["operation"]) == ("mcp", "tools/call")
    assert (record["inference"]["mcp"]["name"], record["inference"]["mcp"]["id"]) == ("[redacted]", "[redacted]")
    assert record["inference"]["error"] == {"type": "tool_error", "message": "no such [redacted]"}


def test_a_pattern_finds_what_a_header_holds_in_base64() -> None:
    exchange = records.exchange(m.CALLS["mcp headers alone"])
    record, _ = told(exchange, {"redaction": {"patterns": ["file:.*"]}})
    assert record["inference"]["mcp"]["name"] == "[redacted]"


@pytest.mark.parametrize(
    ("name", "kept"), [("mcp call", {"name", "method"}), ("mcp refusal", {"name", "method"}), ("mcp cancellation", {"method"})]
)
def test_of_a_request_that_the_service_leaves_out_no_id_is_told(name: str, kept: set[str]) -> None:
    version = ServiceVersion("demo", "iris", "InferenceService", "u-1", "7", 2, 0, logger_mode="response")
    record, _ = told(records.exchange(m.CALLS[name]), {"services": {"logger_mode": "honour"}}, version)
    assert record["request"]["body"]["left_out"] == "logger.mode"
    assert record["inference"]["mcp"].keys() & {"name", "method", "id", "cancels", "batch"} == kept


def test_a_resource_of_a_request_that_is_left_out_is_not_named() -> None:
    version = ServiceVersion("demo", "iris", "InferenceService", "u-1", "7", 2, 0, logger_mode="response")
    record, _ = told(records.exchange(m.CALLS["mcp batch"]), {"services": {"logger_mode": "honour"}}, version)
    assert [each.get("name") for each in record["inference"]["mcp"]["batch"]] == ["weather", None, None]
