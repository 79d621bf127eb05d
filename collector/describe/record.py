"""The record: what the audit API answers for an exchange. Absent = not known; never null, and never zero for unknown."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import cast

from collector.describe.hops import DEFAULT, UNMETERED, Billing, Once, answered, first_of, hop, is_of_model
from collector.describe.passing_on import caller_address, caller_principal, told_first_of
from collector.describe.trace import trace
from collector.describe.withheld import without_bodies
from collector.messages import completeness, flags
from collector.messages.captured import Decoded
from collector.messages.exchange import AccessLog, Body, Node, Tap
from collector.messages.people import Named, PersonKind
from collector.messages.record import (
    Caller,
    LevelName,
    Proxy,
    Record,
    RecordedBody,
    RecordedRequest,
    RecordedResponse,
    Timing,
    Upstream,
)
from collector.messages.redacted import Redacted
from collector.messages.service import Service
from collector.messages.tap_pb2 import NONE, REQUEST, REQUEST_RESPONSE, Level
from collector.messages.times import is_span, timestamp

_LEVELS: dict[int, LevelName] = {value: cast(LevelName, name.lower()) for name, value in Level.items()}
_NO_LOG = AccessLog()
_SHA256 = sha256()  # of nothing yet: a copy of it is begun in half the time of a new one


def build(
    seen: Redacted, identity: str, decoded: Decoded, service: Service, billing: Billing = DEFAULT, answers: Once | None = None
) -> Record:
    """The record as a JSON object. `service`: the service it met. `answers`: which were billed before."""
    exchange = seen.exchange
    tap, logged = exchange.tap, exchange.access_log is not None
    log = exchange.access_log or _NO_LOG
    record: Record = {"id": identity, "revision": exchange.revision}
    if seen.request_id:
        record["call_id"] = call_id(seen.request_id)
    _when(record, seen)
    record["proxy"] = _proxy(exchange.node, log)
    if service:
        record["service"] = service
    operation, protocol = decoded.inference.get("operation", ""), decoded.inference.get("protocol", "")
    was_answered, metered = _answered(seen, decoded, log, tap), bool(decoded.usage)
    doubtful, authority = bool(decoded.untold), seen.authority or ""
    once = first_of(answers, exchange, service, decoded, identity) if "background" in decoded.inference else None
    first = told_first_of(answers, seen, service, decoded, identity) if metered else None
    record["hop"] = hop(
        exchange, service, billing, operation, metered, was_answered, authority, protocol, doubtful, once, metered or doubtful, first
    )
    record["caller"] = _caller(seen, log)
    if "traceparent" in seen.request or "baggage" in seen.request:
        traced = trace(seen.request)
        if traced:
            record["trace"] = traced
    record["request"] = _request(seen, log, tap, logged, identity)
    record["response"] = _response(seen, log, tap, logged, identity)
    if decoded.inference:
        record["inference"] = decoded.inference
    if decoded.usage:
        record["usage"] = decoded.usage
    if decoded.untold and (protocol not in UNMETERED or is_of_model(record["hop"]["role"], service)):
        record["usage_absent"] = decoded.untold
    if decoded.classes:
        record["usage_classes"] = decoded.classes
    record["timing"] = _timing(log, tap)
    record["timing"].update(decoded.timing)
    record["completeness"] = completeness.names(exchange.completeness)
    if tap is not None:
        record["policy"] = {"rule": tap.rule or "default", "level": _LEVELS.get(tap.level, "unknown")}
    if log.upstream_cluster:
        record["upstream"] = _upstream(log)
    problems = [*seen.problems, *seen.reasons.values(), *decoded.problems]
    if problems:
        record["problems"] = problems
    if seen.extents:
        _mark(record["request"]["body"], seen.extents.get("request"))
        _mark(record["response"]["body"], seen.extents.get("response"))
    if "logger" in service:
        without_bodies(record, service)
    return record


def _answered(seen: Redacted, decoded: Decoded, log: AccessLog, tap: Tap | None) -> bool:
    if seen.status is not None:
        return answered(seen.status, decoded)
    body = tap.response if tap is not None else Body()
    return answered(None, decoded, bool(log.response_body_bytes or body.data or body.size or body.gaps or body.truncated))


def call_id(request_id: str) -> str:
    """The request id with its 14th nibble masked: tracing changes that one between hops."""
    return f"{request_id[:14]}x{request_id[15:]}" if len(request_id) == 36 and request_id[8:24:5] == "----" else request_id


# The functions below run once per exchange and build one dict each, key by key: that is three times as fast as filtering and merging.


def _when(record: Record, seen: Redacted) -> None:
    record["start"] = timestamp(seen.start_us)
    told = seen.exchange.start_told
    if told is not None:
        record["clock_suspect"], record["start_told"] = True, timestamp(told)
    if seen.duration_us is not None:
        record["duration_ms"] = seen.duration_us / 1000


def _proxy(node: Node, log: AccessLog) -> Proxy:
    proxy: Proxy = {"node": node.id}
    if node.mesh_cluster:
        proxy["cluster"] = node.mesh_cluster
    if node.namespace:
        proxy["namespace"] = node.namespace
    if node.workload:
        proxy["workload"] = node.workload
    if node.name:
        proxy["name"] = node.name
    if log.local_address:
        proxy["address"] = log.local_address
    return proxy


def _caller(seen: Redacted, log: AccessLog) -> Caller:
    caller: Caller = {}
    principal, told_by = caller_principal(seen.exchange)
    if principal:
        caller["principal"], caller["principal_by"] = principal, told_by
    if seen.consumer:
        caller["consumer"] = seen.consumer
    if seen.people:
        _people(caller, seen.people)
    if address := caller_address(seen.exchange):
        caller["address"] = address
    agent = seen.request.get("user-agent") or log.user_agent
    if agent:
        caller["user_agent"] = agent
    return caller


def _people(caller: Caller, people: Mapping[PersonKind, Named]) -> None:
    if user := people.get("user"):
        caller["user"], caller["user_by"] = user
    if agent := people.get("agent"):
        caller["agent"], caller["agent_by"] = agent
    if session := people.get("session"):
        caller["session"], caller["session_by"] = session


def _request(seen: Redacted, log: AccessLog, tap: Tap | None, logged: bool, identity: str) -> RecordedRequest:
    request: RecordedRequest = {}
    if seen.request_id:
        request["id"] = seen.request_id
    if seen.method:
        request["method"] = seen.method
    scheme = seen.request.get(":scheme") or log.scheme
    if scheme:
        request["scheme"] = scheme
    if seen.authority:
        request["authority"] = seen.authority
    if seen.path:
        request["path"] = seen.path
    if seen.request_headers:
        request["headers"] = seen.request_headers
    if seen.request_trailers:
        request["trailers"] = seen.request_trailers
    size = log.request_body_bytes if logged else None
    body = tap.request if tap is not None else None
    captured = tap is not None and tap.level in (REQUEST, REQUEST_RESPONSE)
    request["body"] = _body(body, captured, size, seen.request, identity, "request")
    if tap is not None and tap.ended and tap.level != NONE:
        request["complete"] = tap.request_complete
    return request


def _response(seen: Redacted, log: AccessLog, tap: Tap | None, logged: bool, identity: str) -> RecordedResponse:
    response: RecordedResponse = {}
    if seen.status is not None:
        response["status"] = seen.status
    if seen.flags:
        response["flags"] = flags.names(seen.flags)
    if log.details:
        response["details"] = log.details
    if log.upstream_failure:
        response["upstream_failure"] = log.upstream_failure
    if log.termination:
        response["termination"] = log.termination
    if seen.response_headers:
        response["headers"] = seen.response_headers
    if seen.response_trailers:
        response["trailers"] = seen.response_trailers
    size = log.response_body_bytes if logged else None
    body = tap.response if tap is not None else None
    captured = tap is not None and tap.level == REQUEST_RESPONSE
    response["body"] = _body(body, captured, size, seen.response, identity, "response")
    if tap is not None and tap.ended and tap.level != NONE:
        response["complete"] = tap.response_complete
    return response


def _body(body: Body | None, captured: bool, logged: int | None, named: dict[str, str], identity: str, kind: str) -> RecordedBody:
    told: RecordedBody = {}
    size = body.size if body is not None and body.size is not None else logged
    if size is not None:
        told["size"] = size
    content_type = named.get("content-type")
    if content_type:
        told["content_type"] = content_type
    coding = named.get("content-encoding")
    if coding:
        told["encoding"] = coding
    if body is None or not captured:
        return told
    told["captured"] = len(body.data)
    if (body.gaps or body.cut) and (missing := body.missing):
        told["gaps"] = missing
    if body.truncated:
        told["truncated"] = True
    if body.data:
        digest = _SHA256.copy()
        digest.update(body.data)
        told["sha256"] = digest.hexdigest()
        told["href"] = f"/v1/exchanges/{identity}/{kind}"
    return told


def _mark(body: RecordedBody, extent: str | None) -> None:
    if extent:
        body["redacted"] = "part" if extent == "part" else "all"


def _timing(log: AccessLog, tap: Tap | None) -> Timing:
    """Times that need no decoding, in ms since the request's start."""
    timing: Timing = {}
    chunks = tap.response.chunks if tap is not None else ()
    first = chunks[0][2] if chunks else log.first_byte_us
    if first is not None and is_span(first):
        timing["first_byte_ms"] = first / 1000
    upstream = log.upstream_first_byte_us
    if upstream is not None and is_span(upstream):
        timing["upstream_first_byte_ms"] = upstream / 1000
    if chunks:
        timing["chunks"] = len(chunks)
    return timing


def _upstream(log: AccessLog) -> Upstream:
    upstream: Upstream = {"cluster": log.upstream_cluster}
    if log.upstream_address:
        upstream["address"] = log.upstream_address
    if log.attempts:
        upstream["attempts"] = log.attempts
    if log.route:
        upstream["route"] = log.route
    return upstream
