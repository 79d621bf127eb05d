"""Reads an access log entry (envoy.data.accesslog.v3.HTTPAccessLogEntry) into what an exchange keeps of it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from collector.correlate import numbers
from collector.correlate.state import KeyFields, Proxy
from collector.messages.access_log import request_id
from collector.messages.exchange import AccessLog
from collector.messages.flags import BY_FIELD
from collector.messages.queries import without_query_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.messages.log_entry import Address, Common, LogEntry, Packed, Request, Span

T = TypeVar("T")
PEER_PRINCIPAL = "io.istio.peer_principal"  # where mTLS ends before the connection that the request is in, as at waypoints
_MAX_NAMES = 64  # of a certificate
_MAX_PRINCIPAL = 2048  # SPIFFE's bound of an identity
_MAX, _CENTURY_US = numbers.MAX, numbers.CENTURY_US
_ENDS = (0, 6)  # AccessLogType NotSet and DownstreamEnd: the others tell of an exchange that still runs


# Each look at a message in an entry makes an object, unless somebody holds one: so whoever reads an entry takes `common_properties` and
# `request` out of it once, and holds them until it is read.


def is_end(common: Common) -> bool:
    """Whether this entry ends its exchange (not a start, a flush interval, or an upstream's own entry)."""
    return common.access_log_type in _ENDS and not common.intermediate_log_entry


def key_of(proxy: Proxy, common: Common, request: Request) -> KeyFields:
    """The join key of an entry, equal to that of the tap for the same stream."""
    start = common.start_time
    told = start.seconds * 1_000_000 + start.nanos // 1000
    if not -_MAX <= told <= _MAX:
        told = numbers.clamped(told)
    return (proxy[0], proxy[1], request_id(request.request_id.encode()), told)


def read(entry: LogEntry, problems: list[str]) -> AccessLog:
    """The entry as an AccessLog. What it tells that can't be is unknown, and added to `problems`."""
    common, request, response = entry.common_properties, entry.request, entry.response
    status, asked, answered = response.response_code.value, request.request_body_bytes, response.response_body_bytes
    if asked > _MAX or answered > _MAX or (status and not 100 <= status <= 999):
        status, asked, answered = _known(status, asked, answered, problems)
    method, has = request.request_method, common.HasField  # asked here: most of what may be told is not, and a call is saved
    asked_with, answered_with, ended_with = request.request_headers, response.response_headers, response.response_trailers
    return AccessLog(  # by position: of 15 and more arguments with names Python makes a dict first, which costs as much as all else here
        _METHODS[method] if 0 <= method < len(_METHODS) else "",
        request.scheme,
        request.authority,
        without_query_secrets(request.original_path or request.path),  # entries of older journals hold them
        request.user_agent,
        entry.protocol_version,
        status,
        _flags(common) if has("response_flags") else 0,
        response.response_code_details,
        _span(common.duration, problems) if has("duration") else None,
        _span(common.time_to_first_upstream_rx_byte, problems) if has("time_to_first_upstream_rx_byte") else None,
        _span(common.time_to_first_downstream_tx_byte, problems) if has("time_to_first_downstream_tx_byte") else None,
        _span(common.time_to_last_downstream_tx_byte, problems) if has("time_to_last_downstream_tx_byte") else None,
        asked,
        answered,
        common.upstream_cluster,
        _address(common.upstream_remote_address) if has("upstream_remote_address") else "",
        _address(common.downstream_local_address) if has("downstream_local_address") else "",
        common.route_name,
        common.upstream_request_attempt_count,
        _principal(common),
        common.upstream_transport_failure_reason,
        common.connection_termination_details,
        _address(common.downstream_remote_address) if has("downstream_remote_address") else "",
        _named(asked_with) if asked_with else {},
        _named(answered_with) if answered_with else {},
        _named(ended_with) if ended_with else {},
    )


def _known(status: int, asked: int, answered: int, problems: list[str]) -> tuple[int, int, int]:
    """These numbers where they can be."""
    if status and not 100 <= status <= 999:
        status = _unknown(0, numbers.STATUS_UNKNOWN, problems)
    if asked > _MAX or answered > _MAX:
        answered = _unknown(min(answered, _MAX), numbers.SIZE_CUT, problems)
    return status, min(asked, _MAX), answered


def size_of(log: AccessLog) -> int:
    """Bytes that it takes in memory, texts counted at their widest."""
    texts = (log.path, log.authority, log.user_agent, log.details, log.upstream_cluster, log.upstream_address, log.local_address, log.route)
    more = (log.principal, log.upstream_failure, log.termination, log.caller_address, log.scheme)
    size = BASE_BYTES
    for text in (*texts, *more):
        size += len(text) if text.isascii() else 4 * len(text)
    for named in (log.request_headers, log.response_headers, log.response_trailers):
        if named:
            size += sum(ENTRY_BYTES + 4 * (len(name) + len(value)) for name, value in named.items())
    return size


BASE_BYTES = 1500  # an entry, besides its texts
ENTRY_BYTES = 250  # a header that it carries

# envoy.config.core.v3.RequestMethod
_METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


def _named(entries: Mapping[str, str]) -> dict[str, str]:
    """Sorted: a map's order differs from process to process."""
    return {name: entries[name] for name in sorted(entries)}  # faster than items()


def _span(span: Span, problems: list[str]) -> int | None:
    told = span.seconds * 1_000_000 + span.nanos // 1000
    return told if 0 <= told <= _CENTURY_US else _unknown(None, numbers.DURATION_UNKNOWN, problems)


def _unknown(instead: T, problem: str, problems: list[str]) -> T:
    if problem not in problems:
        problems.append(problem)
    return instead


def _address(address: Address) -> str:
    """`ip:port` as Envoy prints it (IPv6 in brackets), a pipe's path, or that of a listener inside the proxy, as waypoints have."""
    socket = address.socket_address
    host = socket.address
    if not host:
        inner = address.envoy_internal_address
        return f"envoy://{inner.server_listener_name}/{inner.endpoint_id}" if inner.server_listener_name else address.pipe.path
    port = socket.port_value
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _flags(common: Common) -> int:
    bits = 0
    for descriptor, value in common.response_flags.ListFields():
        if value:
            bits |= BY_FIELD.get(descriptor.name, 0)
    return bits


def _principal(common: Common) -> str:
    """The caller's SPIFFE id: the first URI among its certificate's names, else what Istio hands on of a connection around this one."""
    if common.HasField("tls_properties"):
        for name in islice(common.tls_properties.peer_certificate_properties.subject_alt_name, _MAX_NAMES):
            if name.uri:
                return name.uri
    states = common.filter_state_objects
    return _told_principal(states[PEER_PRINCIPAL]) if PEER_PRINCIPAL in states else ""


def _told_principal(packed: Packed) -> str:
    """A text as Envoy packs it. What cannot be told whole is not told, as in the tap: a part of it could be another's name."""
    text, raw = StringValue(), BytesValue()
    try:
        if packed.Unpack(raw):
            text.value = raw.value.decode()
        else:
            packed.Unpack(text)
    except (DecodeError, UnicodeDecodeError):
        return ""
    return str(text.value) if len(text.value) <= _MAX_PRINCIPAL else ""
