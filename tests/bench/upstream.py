"""A fast upstream: an Envoy that takes the whole request and answers with a fixed body itself, at little CPU."""

from __future__ import annotations

from typing import Any

from collector.demo.envoy_filters import router, tcp_address, typed


def config(port: int, admin_port: int, body_bytes: int = 1024) -> dict[str, Any]:
    """The bootstrap of an Envoy that answers every request with 200 and `body_bytes` bytes."""
    answer = {"status": 200, "body": {"inline_string": "x" * body_bytes}}
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": answer}]}
    # Without the buffer the answer would overtake the request's body, and Envoy closes such a connection.
    whole = typed("envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer", max_request_bytes=1 << 20)
    hcm = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="upstream",
        route_config={"name": "upstream", "virtual_hosts": [host], "max_direct_response_body_size_bytes": 1 << 20},
        http_filters=[whole, router()],
        generate_request_id=False,
    )
    listener = {"name": "upstream", "address": tcp_address(port), "filter_chains": [{"filters": [hcm]}]}
    return {
        "node": {"id": "upstream", "cluster": "upstream"},
        "admin": {"address": tcp_address(admin_port), "profile_path": "/dev/null"},
        "static_resources": {"listeners": [listener]},
    }
