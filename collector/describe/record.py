"""The record: what the audit API answers for an exchange. Absent = not known; never null, and never zero for unknown."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from msgspec import structs

from collector.describe.hops import hop
from collector.describe.manner import Manner
from collector.describe.trace import trace
from collector.describe.withheld import without_bodies
from collector.errors import BadInputError
from collector.messages import completeness, flags, headers
from collector.messages.exchange import AccessLog, Body, Exchange, Node, Tap
from collector.messages.secrets import REDACTED, is_secret
from collector.messages.tap_pb2 import NONE, REQUEST, REQUEST_RESPONSE, Level
from collector.messages.times import is_span, of_epoch, timestamp

_PLAINLY = Manner()
_LEVELS = {value: name.lower() for name, value in Level.items()}

Headers = list[tuple[str, str]]


class Seen:
    """An exchange with its header blocks read, once for all that need it. Bodies' texts are not touched.

    `method`, `path` (with its query), `status` (that the client got), `authority`, `duration_us` (first byte of the request to last of
    the response) and `flags` (Envoy's response flags) are as the better witness told them; absent if none did, or told what none can be.
    `request` and `response` map header names to their first value. `consumer` is the caller's hash, `redacted` says of each body
    (`request`, `response`) whether rules took `part` or `all` of it; `tell` sets what an operator decides.
    """

    __slots__ = (
        "authority",
        "consumer",
        "duration_us",
        "exchange",
        "flags",
        "manner",
        "method",
        "path",
        "problems",
        "redacted",
        "request",
        "request_headers",
        "request_id",
        "request_trailers",
        "response",
        "response_headers",
        "response_trailers",
        "start_us",
        "status",
    )

    def __init__(self, exchange: Exchange) -> None:
        tap, log = exchange.tap, exchange.access_log or _NO_LOG
        self.exchange = exchange
        self.problems: list[str] = list(exchange.problems)
        self.manner = _PLAINLY
        self.consumer: str | None = None
        self.redacted: dict[str, str] = {}
        self.request_headers = self._block(tap.request_headers if tap else None) or _logged(log.request_headers)
        self.response_headers = self._block(tap.response_headers if tap else None) or _logged(log.response_headers)
        self.request_trailers = self._block(tap.request_trailers if tap else None)
        self.response_trailers = self._block(tap.response_trailers if tap else None) or _logged(log.response_trailers)
        self.request = request = dict(self.request_headers[::-1])
        self.response = dict(self.response_headers[::-1])
        self.request_id = exchange.key.request_id.decode("utf-8", "replace")
        self.method: str | None = log.method or request.get(":method")
        self.path: str | None = request.get(":path") or log.path or None
        self.authority: str | None = log.authority or request.get(":authority")
        self.status = self._status(log, tap)
        self.duration_us = duration = log.duration_us if log.duration_us is not None or tap is None else tap.end_us
        if duration is not None and not is_span(duration):
            self.duration_us = None
            self.problems.append("a duration that is none (less than nothing, or of centuries) is left out")
        self.start_us = of_epoch(exchange.key.start_us)
        if self.start_us != exchange.key.start_us:
            self.problems.append("the request's start is no time between 1970 and 9999: it is told as 1970")
        self.flags = log.flags | (tap.flags if tap is not None else 0)

    def tell(self, manner: Manner) -> None:
        """Tells the exchange in this manner."""
        self.manner = manner
        if manner.consumers is not None:
            log = self.exchange.access_log or _NO_LOG
            self.consumer = manner.consumers.of(self.request, log.request_headers)
            self.request_headers = manner.consumers.hide(self.request_headers)
            self.request = dict(self.request_headers[::-1])

    def redact(self, side: str, data: bytes, extent: str) -> None:
        """Leaves these bytes of a body in place of what was captured. `extent`: part, or all."""
        tap = self.exchange.tap
        if tap is not None:
            body = structs.replace(getattr(tap, side), data=data)
            self.exchange = structs.replace(self.exchange, tap=structs.replace(tap, **{side: body}))
            self.redacted[side] = extent

    def _status(self, log: AccessLog, tap: Tap | None) -> int | None:
        """What the client got, a number of three digits, by the first witness that told one."""
        if 100 <= log.status <= 999:
            return log.status
        told = self.response.get(":status")
        if told is not None and len(told) == 3 and told.isascii() and told.isdigit() and told >= "100":
            found: int | None = int(told)
        else:
            found = tap.code if tap is not None and 100 <= tap.code <= 999 else None
        if log.status or (found is None and (told or (tap is not None and tap.code))):
            self.problems.append("a response status that is no number of three digits is left out")
        return found

    def _block(self, block: bytes | None) -> Headers:
        if block is None:
            return []
        try:
            return headers.pairs(block)
        except BadInputError as error:
            self.problems.append(str(error))
            return []


_NO_LOG = AccessLog()


def build(seen: Seen, identity: str, decoded: dict[str, Any], service: dict[str, Any]) -> dict[str, Any]:
    """The record as a JSON object. `decoded`: inference, usage and timing, as far as known; `service`: the service it met."""
    exchange = seen.exchange
    tap, logged = exchange.tap, exchange.access_log is not None
    log = exchange.access_log or _NO_LOG
    record: dict[str, Any] = {"id": identity, "revision": exchange.revision}
    if seen.request_id:
        record["call_id"] = call_id(seen.request_id)
    _when(record, seen)
    record["proxy"] = _proxy(exchange.node, log)
    if service:
        record["service"] = service
    operation, metered = decoded.get("inference", {}).get("operation", ""), bool(decoded.get("usage"))
    record["hop"] = hop(exchange, service, seen.manner.billing, operation, metered)
    record["caller"] = _caller(seen, log)
    if "traceparent" in seen.request or "baggage" in seen.request:
        traced = trace(seen.request)
        if traced:
            record["trace"] = traced
    record["request"] = _request(seen, log, tap, logged, identity)
    record["response"] = _response(seen, log, tap, logged, identity)
    if decoded.get("inference"):
        record["inference"] = decoded["inference"]
    if decoded.get("usage"):
        record["usage"] = decoded["usage"]
    record["timing"] = _timing(log, tap)
    if decoded.get("timing"):
        record["timing"].update(decoded["timing"])
    record["completeness"] = completeness.names(exchange.completeness)
    if tap is not None:
        record["policy"] = {"rule": tap.rule or "default", "level": _LEVELS.get(tap.level, "unknown")}
    if log.upstream_cluster:
        record["upstream"] = _upstream(log)
    problems = seen.problems + list(decoded.get("problems", ()))
    if problems:
        record["problems"] = problems
    for side, extent in seen.redacted.items():
        record[side]["body"]["redacted"] = extent
    if "logger" in service:
        without_bodies(record, service)
    return record


def call_id(request_id: str) -> str:
    """The request id with its 14th nibble masked: tracing changes that one between hops."""
    return f"{request_id[:14]}x{request_id[15:]}" if len(request_id) == 36 and request_id[8:24:5] == "----" else request_id


def _logged(named: dict[str, str]) -> Headers:
    """Headers that the access log carries. The tap redacts its own; these come as the mesh's configuration lists them."""
    return [(name, REDACTED if is_secret(name) else value) for name, value in named.items()]


# The functions below run once per exchange and build one dict each, key by key: that is three times as fast as filtering and merging.


def _when(record: dict[str, Any], seen: Seen) -> None:
    record["start"] = timestamp(seen.start_us)
    told = seen.exchange.start_told
    if told is not None:
        record["clock_suspect"], record["start_told"] = True, timestamp(told)
    if seen.duration_us is not None:
        record["duration_ms"] = seen.duration_us / 1000


def _proxy(node: Node, log: AccessLog) -> dict[str, Any]:
    proxy: dict[str, Any] = {"node": node.id}
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


def _caller(seen: Seen, log: AccessLog) -> dict[str, Any]:
    caller: dict[str, Any] = {}
    tap = seen.exchange.tap
    told = tap.principal if tap is not None else ""
    if log.principal or told:
        caller["principal"] = log.principal or told
        caller["principal_by"] = "access_log" if log.principal else "tap"
        if told and log.principal and told != log.principal:
            seen.problems.append(f"the tap names another caller than the access log: {told}")
    if seen.consumer:
        caller["consumer"] = seen.consumer
    address = log.caller_address or (tap.caller_address if tap is not None else "")
    if address:
        caller["address"] = address
    agent = seen.request.get("user-agent") or log.user_agent
    if agent:
        caller["user_agent"] = agent
    return caller


def _request(seen: Seen, log: AccessLog, tap: Tap | None, logged: bool, identity: str) -> dict[str, Any]:
    request: dict[str, Any] = {}
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


def _response(seen: Seen, log: AccessLog, tap: Tap | None, logged: bool, identity: str) -> dict[str, Any]:
    response: dict[str, Any] = {}
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


def _body(body: Body | None, captured: bool, logged: int | None, named: dict[str, str], identity: str, kind: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
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
    if body.gaps:
        told["gaps"] = body.gaps
    if body.truncated:
        told["truncated"] = True
    if body.data:
        told["sha256"] = sha256(body.data).hexdigest()
        told["href"] = f"/v1/exchanges/{identity}/{kind}"
    return told


def _timing(log: AccessLog, tap: Tap | None) -> dict[str, Any]:
    """Times that need no decoding, in ms since the request's start."""
    timing: dict[str, Any] = {}
    chunks = tap.response.chunks if tap is not None else ()
    first = chunks[0][2] if chunks else log.first_byte_us
    if first is not None and is_span(first):
        timing["first_byte_ms"] = first / 1000
    if log.upstream_first_byte_us is not None and is_span(log.upstream_first_byte_us):
        timing["upstream_first_byte_ms"] = log.upstream_first_byte_us / 1000
    if chunks:
        timing["chunks"] = len(chunks)
    return timing


def _upstream(log: AccessLog) -> dict[str, Any]:
    upstream: dict[str, Any] = {"cluster": log.upstream_cluster}
    if log.upstream_address:
        upstream["address"] = log.upstream_address
    if log.attempts:
        upstream["attempts"] = log.attempts
    if log.route:
        upstream["route"] = log.route
    return upstream
