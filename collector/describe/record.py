"""The record: what the audit API answers for an exchange. Absent = not known; never null, and never zero for unknown."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from collector.describe.hops import hop
from collector.errors import BadInputError
from collector.messages import completeness, flags, headers
from collector.messages.exchange import AccessLog, Body, Exchange, Node, Tap
from collector.messages.tap_pb2 import NONE, REQUEST, REQUEST_RESPONSE, Level

REDACTED = "[redacted]"
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"})
_LEVELS = {value: name.lower() for name, value in Level.items()}

Headers = list[tuple[str, str]]


class Seen:
    """An exchange with its header blocks read, once for all that need it. Bodies' texts are not touched.

    `method`, `path` (with its query), `status` (that the client got), `authority`, `duration_us` (first byte of the request to last of
    the response) and `flags` (Envoy's response flags) are as the better witness told them; absent if none did. `request` and `response`
    map header names to their first value.
    """

    __slots__ = (
        "authority",
        "duration_us",
        "exchange",
        "flags",
        "method",
        "path",
        "problems",
        "request",
        "request_headers",
        "request_id",
        "request_trailers",
        "response",
        "response_headers",
        "response_trailers",
        "status",
    )

    def __init__(self, exchange: Exchange) -> None:
        tap, log = exchange.tap, exchange.access_log or _NO_LOG
        self.exchange = exchange
        self.problems: list[str] = []
        self.request_headers = self._block(tap.request_headers if tap else None) or _logged(log.request_headers)
        self.response_headers = self._block(tap.response_headers if tap else None) or _logged(log.response_headers)
        self.request_trailers = self._block(tap.request_trailers if tap else None)
        self.response_trailers = self._block(tap.response_trailers if tap else None) or _logged(log.response_trailers)
        self.request = request = dict(self.request_headers[::-1])
        self.response = dict(self.response_headers[::-1])
        self.request_id = exchange.key.request_id.decode("latin-1")
        self.method: str | None = log.method or request.get(":method")
        self.path: str | None = request.get(":path") or log.path or None
        self.authority: str | None = log.authority or request.get(":authority")
        self.status = log.status or _status(self.response.get(":status")) or (tap.code if tap is not None else 0) or None
        self.duration_us = log.duration_us if log.duration_us is not None or tap is None else tap.end_us
        self.flags = log.flags | (tap.flags if tap is not None else 0)

    def _block(self, block: bytes | None) -> Headers:
        if block is None:
            return []
        try:
            return headers.pairs(block)
        except BadInputError as error:
            self.problems.append(str(error))
            return []


_NO_LOG = AccessLog()


def _status(told: str | None) -> int | None:
    return int(told) if told is not None and told.isascii() and told.isdigit() else None


def build(seen: Seen, identity: str, decoded: dict[str, Any], service: dict[str, Any]) -> dict[str, Any]:
    """The record as a JSON object. `decoded`: inference, usage and timing, as far as known; `service`: the service it met."""
    exchange = seen.exchange
    log, key = exchange.access_log, exchange.key
    record: dict[str, Any] = {"id": identity, "revision": exchange.revision}
    if seen.request_id:
        record["call_id"] = call_id(seen.request_id)
    record["start"] = timestamp(key.start_us)
    if seen.duration_us is not None:
        record["duration_ms"] = seen.duration_us / 1000
    record["proxy"] = _proxy(exchange.node)
    if service:
        record["service"] = service
    record["hop"] = hop(exchange, service)
    record["caller"] = _caller(seen, log)
    record["request"] = _request(seen, identity)
    record["response"] = _response(seen, identity)
    for name in ("inference", "usage"):
        if decoded.get(name):
            record[name] = decoded[name]
    record["timing"] = {**_timing(exchange), **decoded.get("timing", {})}
    record["completeness"] = completeness.names(exchange.completeness)
    if exchange.tap is not None:
        record["policy"] = {"rule": exchange.tap.rule or "default", "level": _LEVELS.get(exchange.tap.level, "unknown")}
    if log is not None and log.upstream_cluster:
        record["upstream"] = _filled(cluster=log.upstream_cluster, address=log.upstream_address, attempts=log.attempts, route=log.route)
    problems = seen.problems + list(decoded.get("problems", ()))
    if problems:
        record["problems"] = problems
    return record


def call_id(request_id: str) -> str:
    """The request id with its 14th nibble masked: tracing changes that one between hops."""
    return f"{request_id[:14]}x{request_id[15:]}" if len(request_id) == 36 and request_id[8:24:5] == "----" else request_id


def timestamp(time_us: int) -> str:
    """RFC 3339 in UTC with microseconds, by integer arithmetic only."""
    seconds, micro = divmod(time_us, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    year, month, day = _civil(days)
    return f"{year:04d}-{month:02d}-{day:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micro:06d}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day number since 1970-01-01 (proleptic Gregorian), for any number: no input may raise here."""
    era, rest = divmod(days + 719_468, 146_097)
    of_era = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    of_year = rest - (365 * of_era + of_era // 4 - of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return of_era + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def _filled(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _logged(named: dict[str, str]) -> Headers:
    """Headers that the access log carries. The tap redacts its own; these come as the mesh's configuration lists them."""
    return [(name, REDACTED if name in _SECRET else value) for name, value in named.items()]


def _proxy(node: Node) -> dict[str, Any]:
    return {"node": node.id} | _filled(cluster=node.mesh_cluster, namespace=node.namespace, workload=node.workload, name=node.name)


def _caller(seen: Seen, log: AccessLog | None) -> dict[str, Any]:
    agent = seen.request.get("user-agent") or (log.user_agent if log else "")
    return _filled(principal=log.principal if log else "", address=seen.exchange.key.downstream, user_agent=agent)


def _request(seen: Seen, identity: str) -> dict[str, Any]:
    log, tap = seen.exchange.access_log, seen.exchange.tap
    scheme = seen.request.get(":scheme") or (log.scheme if log else "")
    request = _filled(id=seen.request_id, method=seen.method, scheme=scheme, authority=seen.authority, path=seen.path)
    if seen.request_headers:
        request["headers"] = seen.request_headers
    if seen.request_trailers:
        request["trailers"] = seen.request_trailers
    captured = tap is not None and tap.level in (REQUEST, REQUEST_RESPONSE)
    size = log.request_body_bytes if log is not None else None
    request["body"] = _body(tap.request if tap else None, captured, size, seen.request, f"{identity}/request")
    if tap is not None and tap.ended and tap.level != NONE:
        request["complete"] = tap.request_complete
    return request


def _response(seen: Seen, identity: str) -> dict[str, Any]:
    log, tap = seen.exchange.access_log, seen.exchange.tap
    response: dict[str, Any] = {} if seen.status is None else {"status": seen.status}
    if seen.flags:
        response["flags"] = flags.names(seen.flags)
    if log is not None:
        response |= _filled(details=log.details, upstream_failure=log.upstream_failure, termination=log.termination)
    if seen.response_headers:
        response["headers"] = seen.response_headers
    if seen.response_trailers:
        response["trailers"] = seen.response_trailers
    captured = tap is not None and tap.level == REQUEST_RESPONSE
    size = log.response_body_bytes if log is not None else None
    response["body"] = _body(tap.response if tap else None, captured, size, seen.response, f"{identity}/response")
    if tap is not None and tap.ended and tap.level != NONE:
        response["complete"] = tap.response_complete
    return response


def _body(body: Body | None, captured: bool, logged: int | None, named: dict[str, str], href: str) -> dict[str, Any]:
    size = body.size if body is not None and body.size is not None else logged
    told: dict[str, Any] = {} if size is None else {"size": size}
    if kind := named.get("content-type"):
        told["content_type"] = kind
    if coding := named.get("content-encoding"):
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
        told["href"] = f"/v1/exchanges/{href}"
    return told


def _timing(exchange: Exchange) -> dict[str, Any]:
    """Times that need no decoding, in ms since the request's start."""
    log, tap = exchange.access_log, exchange.tap
    timing: dict[str, Any] = {}
    first = _first_chunk(tap)
    if first is None and log is not None:
        first = log.first_byte_us
    if first is not None:
        timing["first_byte_ms"] = first / 1000
    if log is not None and log.upstream_first_byte_us is not None:
        timing["upstream_first_byte_ms"] = log.upstream_first_byte_us / 1000
    if tap is not None and tap.response.chunks:
        timing["chunks"] = len(tap.response.chunks)
    return timing


def _first_chunk(tap: Tap | None) -> int | None:
    return tap.response.chunks[0][2] if tap is not None and tap.response.chunks else None
