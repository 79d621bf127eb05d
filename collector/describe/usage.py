"""The usage event (`meshscribe.usage.v1`): what a billing job needs of an exchange, without bodies. docs/usage-event.md has its schema.

A pure function of the record, so that a relay can make it from a stored record, byte for byte the same. A revision of an exchange
supersedes the earlier ones: the pair (exchange, revision) orders them.
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.describe.hops import CHOSEN_BY_CALLERS, UNMETERED
from collector.describe.identity import event_id
from collector.messages.event import USAGE_TYPE, Event
from collector.messages.plain import json_bytes
from collector.messages.record import Record

_SERVICE = ("kind", "uid", "resource_version", "component", "annotations")
_CALLER = ("consumer", "user", "user_by", "agent", "agent_by", "session", "session_by")
_INFERENCE = (
    "protocol",
    "operation",
    "model_requested",
    "model_answered",
    "service_tier",
    "streamed",
    "delivered_chunks",
    "answer_count",
    "answers",
    "answers_unseen",
)


def usage_event(record: Record, source: str, subject: str | None, time_us: int) -> Event | None:
    """The usage event of this record; None if no inference protocol was recognised in it (MCP is none). `time_us`: the request's start."""
    inference = record.get("inference", {})
    if inference.get("protocol", "") in UNMETERED:
        return None
    service, exchange, revision = record.get("service", {}), record["id"], record["revision"]
    data: dict[str, object] = {"exchange": exchange, "revision": revision, "start": record["start"]}
    _copy(data, record, ("call_id", "clock_suspect", "duration_ms"))
    _put(data, "request_id", record["request"].get("id"))
    _put(data, "status", record["response"].get("status"))
    _put(data, "grpc_status", _grpc_status(record))
    _put(data, "namespace", service.get("namespace") or record["proxy"].get("namespace"))
    _put(data, "service", service.get("name") or record["proxy"].get("workload"))
    _copy(data, service, _SERVICE)
    _copy(data, inference, _INFERENCE)
    if inference.get("protocol") not in CHOSEN_BY_CALLERS:
        _put(data, "answer_id", inference.get("id"))
    _put(data, "caller", record["caller"].get("principal"))
    _copy(data, record["caller"], _CALLER)
    data["hop"] = record["hop"]
    data["usage"] = record.get("usage", {})
    _copy(data, record, ("usage_absent", "usage_classes"))
    data["completeness"] = record["completeness"]
    extensions: dict[str, str | int | bool] = {"exchange": exchange, "revision": revision, "billable": record["hop"]["billable"]}
    identity = event_id(exchange, "usage", revision)
    return Event(identity, USAGE_TYPE, source, subject, time_us, "application/json", json_bytes(data), extensions, None)


def _grpc_status(record: Record) -> int | None:
    """gRPC's status: in the trailers, or in the headers of an answer that has no messages; gRPC-Web's as it was decoded."""
    response = record["response"]
    for headers in (response.get("trailers", ()), response.get("headers", ())):
        for name, value in headers:
            if name == "grpc-status" and value.isascii() and value.isdecimal() and len(value) < 4:
                return int(value)
    inference = record.get("inference", {})
    code = inference.get("error", {}).get("code") if inference.get("protocol") == "kserve-v2-grpc" else None
    return code if type(code) is int else None


def _copy(target: dict[str, object], origin: Mapping[str, object], names: tuple[str, ...]) -> None:
    for name in names:
        if name in origin:
            target[name] = origin[name]


def _put(target: dict[str, object], name: str, value: object) -> None:
    if value is not None and value != "":
        target[name] = value
