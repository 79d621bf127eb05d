"""Envoy's response flags: bits as %RESPONSE_FLAGS% and `response.flags` number them, and their short names.

Source: envoy/stream_info/stream_info.h (enum CoreResponseFlag) and envoy.data.accesslog.v3.ResponseFlags.
"""

from __future__ import annotations

# (short name, field of envoy.data.accesslog.v3.ResponseFlags); the position in the list is the bit.
FLAGS: tuple[tuple[str, str], ...] = (
    ("LH", "failed_local_healthcheck"),
    ("UH", "no_healthy_upstream"),
    ("UT", "upstream_request_timeout"),
    ("LR", "local_reset"),
    ("UR", "upstream_remote_reset"),
    ("UF", "upstream_connection_failure"),
    ("UC", "upstream_connection_termination"),
    ("UO", "upstream_overflow"),
    ("NR", "no_route_found"),
    ("DI", "delay_injected"),
    ("FI", "fault_injected"),
    ("RL", "rate_limited"),
    ("UAEX", "unauthorized_details"),
    ("RLSE", "rate_limit_service_error"),
    ("DC", "downstream_connection_termination"),
    ("URX", "upstream_retry_limit_exceeded"),
    ("SI", "stream_idle_timeout"),
    ("IH", "invalid_envoy_request_headers"),
    ("DPE", "downstream_protocol_error"),
    ("UMSDR", "upstream_max_stream_duration_reached"),
    ("RFCF", "response_from_cache_filter"),
    ("NFCF", "no_filter_config_found"),
    ("DT", "duration_timeout"),
    ("UPE", "upstream_protocol_error"),
    ("NC", "no_cluster_found"),
    ("OM", "overload_manager"),
    ("DF", "dns_resolution_failure"),
    ("DO", "drop_overload"),
    ("DR", "downstream_remote_reset"),
    ("UDO", "unconditional_drop_overload"),
)

BIT = {name: 1 << i for i, (name, _) in enumerate(FLAGS)}
BY_FIELD = {field: 1 << i for i, (_, field) in enumerate(FLAGS)}

CLIENT_ABORTED = BIT["DC"] | BIT["DR"]
UPSTREAM_RESET = BIT["UR"] | BIT["UC"] | BIT["UPE"]
UNSEEN_BY_FILTERS = BIT["DPE"] | BIT["IH"] | BIT["OM"]


def names(flags: int) -> list[str]:
    """Short names of the set bits; a bit that is not known reads `bit<n>`."""
    found = [name for i, (name, _) in enumerate(FLAGS) if flags >> i & 1]
    unknown = flags >> len(FLAGS)
    return found + [f"bit{len(FLAGS) + i}" for i in range(unknown.bit_length()) if unknown >> i & 1]
