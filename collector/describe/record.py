"""The record: what the audit API answers for an exchange. Absent = not known; never null, and never zero for unknown."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from collector.errors import BadInputError
from collector.messages import flags, headers
from collector.messages.exchange import AccessLog, Body, Exchange, Node, Tap
from collector.messages.tap_pb2 import NONE, REQUEST, REQUEST_RESPONSE, Level

REDACTED = "[redacted]"
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"})
_LEVELS = {value: name.lower() for name, value in Level.items()}

Headers = list[tuple[str, str]]


class Seen:
    """An exchange with its header blocks read: what both the record and the events need. Bodies' texts are not touched."""

    __slots__ = ("exchange", "problems", "request_headers", "request_trailers", "response_headers", "response_trailers")

    def __init__(self, exchange: Exchange) -> None:
        tap, log = exchange.tap, exchange.access_log
        self.exchange = exchange
        self.problems: list[str] = []
        self.request_headers = self._block(tap.request_headers if tap else None) or _logged(log.request_headers if log else {})
        self.response_headers = self._block(tap.response_headers if tap else None) or _logged(log.response_headers if log else {})
        self.request_trailers = self._block(tap.request_trailers if tap else None)
        self.response_trailers = self._block(tap.response_trailers if tap else None) or _logged(log.response_trailers if log else {})

    def _block(self, block: bytes | None) -> Headers:
        if block is None:
            return []
        try:
            return headers.pairs(block)
        except BadInputError as error:
            self.problems.append(str(error))
            return []

    @property
    def method(self) -> str | None:
        """As the access log says, else the tap."""
        log = self.exchange.access_log
        return (log.method if log else "") or headers.first(self.request_headers, ":method")

    @property
    def path(self) -> str | None:
        """With its query, as the client sent it."""
        log = self.exchange.access_log
        return headers.first(self.request_headers, ":path") or (log.path if log else None) or None

    @property
    def status(self) -> int | None:
        """The status that the client got."""
        log, tap = self.exchange.access_log, self.exchange.tap
        if log is not None and log.status:
            return log.status
        told = headers.first(self.response_headers, ":status")
        if told is not None and told.isascii() and told.isdigit():
            return int(told)
        return tap.code or None if tap is not None else None

    @property
    def authority(self) -> str | None:
        """The :authority or Host of the request."""
        log = self.exchange.access_log
        return (log.authority if log else "") or headers.first(self.request_headers, ":authority")

    @property
    def request_id(self) -> str:
        """The x-request-id; empty if there was none."""
        return self.exchange.key.request_id.decode("latin-1")

    @property
    def duration_us(self) -> int | None:
        """From the first byte of the request to the last of the response, by the access log, else by the tap."""
        log, tap = self.exchange.access_log, self.exchange.tap
        if log is not None and log.duration_us is not None:
            return log.duration_us
        return tap.end_us if tap is not None else None

    @property
    def response_flags(self) -> int:
        """Envoy's response flags as either witness told them."""
        log, tap = self.exchange.access_log, self.exchange.tap
        return (log.flags if log else 0) | (tap.flags if tap else 0)


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
    record["caller"] = _caller(seen, log)
    record["request"] = _request(seen, identity)
    record["response"] = _response(seen, identity)
    for name in ("inference", "usage"):
        if decoded.get(name):
            record[name] = decoded[name]
    record["timing"] = {**_timing(exchange), **decoded.get("timing", {})}
    record["completeness"] = exchange.completeness.names
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
    agent = headers.first(seen.request_headers, "user-agent") or (log.user_agent if log else "")
    return _filled(principal=log.principal if log else "", address=seen.exchange.key.downstream, user_agent=agent)


def _request(seen: Seen, identity: str) -> dict[str, Any]:
    log, tap = seen.exchange.access_log, seen.exchange.tap
    scheme = headers.first(seen.request_headers, ":scheme") or (log.scheme if log else "")
    request = _filled(id=seen.request_id, method=seen.method, scheme=scheme, authority=seen.authority, path=seen.path)
    if seen.request_headers:
        request["headers"] = seen.request_headers
    if seen.request_trailers:
        request["trailers"] = seen.request_trailers
    captured = tap is not None and tap.level in (REQUEST, REQUEST_RESPONSE)
    size = log.request_body_bytes if log is not None else None
    request["body"] = _body(tap.request if tap else None, captured, size, seen.request_headers, f"{identity}/request")
    if tap is not None and tap.ended and tap.level != NONE:
        request["complete"] = tap.request_complete
    return request


def _response(seen: Seen, identity: str) -> dict[str, Any]:
    log, tap = seen.exchange.access_log, seen.exchange.tap
    response: dict[str, Any] = {} if seen.status is None else {"status": seen.status}
    if seen.response_flags:
        response["flags"] = flags.names(seen.response_flags)
    if log is not None:
        response |= _filled(details=log.details, upstream_failure=log.upstream_failure, termination=log.termination)
    if seen.response_headers:
        response["headers"] = seen.response_headers
    if seen.response_trailers:
        response["trailers"] = seen.response_trailers
    captured = tap is not None and tap.level == REQUEST_RESPONSE
    size = log.response_body_bytes if log is not None else None
    response["body"] = _body(tap.response if tap else None, captured, size, seen.response_headers, f"{identity}/response")
    if tap is not None and tap.ended and tap.level != NONE:
        response["complete"] = tap.response_complete
    return response


def _body(body: Body | None, captured: bool, logged: int | None, named: Headers, href: str) -> dict[str, Any]:
    size = body.size if body is not None and body.size is not None else logged
    told: dict[str, Any] = {} if size is None else {"size": size}
    kind, coding = headers.first(named, "content-type"), headers.first(named, "content-encoding")
    told |= _filled(content_type=kind, encoding=coding)
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
