"""Reads an access log entry (envoy.data.accesslog.v3.HTTPAccessLogEntry) into what an exchange keeps of it."""

from __future__ import annotations

from typing import Any

from collector.correlate.state import KeyFields
from collector.messages.access_log import request_id
from collector.messages.exchange import AccessLog
from collector.messages.flags import BY_FIELD

_ENDS = (0, 6)  # AccessLogType NotSet and DownstreamEnd: the others tell of an exchange that still runs


def is_end(entry: Any) -> bool:
    """Whether this entry ends its exchange (not a start, a flush interval, or an upstream's own entry)."""
    common = entry.common_properties
    return common.access_log_type in _ENDS and not common.intermediate_log_entry


def key_of(node: str, entry: Any) -> KeyFields:
    """The join key of an entry, equal to that of the tap for the same stream."""
    common = entry.common_properties
    start = common.start_time
    return (
        node,
        request_id(entry.request.request_id.encode()),
        start.seconds * 1_000_000 + start.nanos // 1000,
    )


def read(entry: Any) -> AccessLog:
    """The entry as an AccessLog."""
    common, request, response = entry.common_properties, entry.request, entry.response
    return AccessLog(
        method=_METHODS[request.request_method] if request.request_method < len(_METHODS) else "",
        scheme=request.scheme,
        authority=request.authority,
        path=request.original_path or request.path,
        user_agent=request.user_agent,
        protocol=entry.protocol_version,
        status=response.response_code.value,
        flags=_flags(common),
        details=response.response_code_details,
        duration_us=_span(common, "duration"),
        upstream_first_byte_us=_span(common, "time_to_first_upstream_rx_byte"),
        first_byte_us=_span(common, "time_to_first_downstream_tx_byte"),
        last_byte_us=_span(common, "time_to_last_downstream_tx_byte"),
        request_body_bytes=request.request_body_bytes,
        response_body_bytes=response.response_body_bytes,
        upstream_cluster=common.upstream_cluster,
        upstream_address=_address(common.upstream_remote_address),
        local_address=_address(common.downstream_local_address),
        caller_address=_address(common.downstream_remote_address),
        route=common.route_name,
        attempts=common.upstream_request_attempt_count,
        principal=_principal(common),
        upstream_failure=common.upstream_transport_failure_reason,
        termination=common.connection_termination_details,
        request_headers=_named(request.request_headers),
        response_headers=_named(response.response_headers),
        response_trailers=_named(response.response_trailers),
    )


# envoy.config.core.v3.RequestMethod
_METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


def _named(entries: Any) -> dict[str, str]:
    return dict(entries) if len(entries) else {}  # most are empty, and a copy of an empty one costs a microsecond


def _span(common: Any, name: str) -> int | None:
    if not common.HasField(name):
        return None
    span = getattr(common, name)
    return int(span.seconds * 1_000_000 + span.nanos // 1000)


def _address(address: Any) -> str:
    """`ip:port` as Envoy prints it (IPv6 in brackets), a pipe's path, or that of a listener inside the proxy, as waypoints have."""
    socket = address.socket_address
    host = socket.address
    if not host:
        inner = address.envoy_internal_address
        return f"envoy://{inner.server_listener_name}/{inner.endpoint_id}" if inner.server_listener_name else str(address.pipe.path)
    port = socket.port_value
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _flags(common: Any) -> int:
    if not common.HasField("response_flags"):
        return 0
    bits = 0
    for descriptor, value in common.response_flags.ListFields():
        if value:
            bits |= BY_FIELD.get(descriptor.name, 0)
    return bits


def _principal(common: Any) -> str:
    """The caller's SPIFFE id: the first URI among its certificate's names."""
    if not common.HasField("tls_properties"):
        return ""
    for name in common.tls_properties.peer_certificate_properties.subject_alt_name:
        if name.uri:
            return str(name.uri)
    return ""
