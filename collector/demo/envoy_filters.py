"""The pieces of an Envoy configuration: filters, the tap among them, the access log, addresses.

The fields of the tap's configuration are the filter's own (wasm-config/README.md); what is left out takes the filter's default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from collector.demo.audit import Json
from collector.errors import MeshscribeError

VARIABLE = "MESHSCRIBE_TAP_WASM"
COLLECTOR = "meshscribe.meshscribe.svc.cluster.local"
INGEST_CLUSTER = f"outbound|8080||{COLLECTOR}"
ALS_CLUSTER = f"outbound|4315||{COLLECTOR}"


class SocketAddress(TypedDict):
    """Where one listens."""

    address: str
    port_value: int


class Address(TypedDict):
    """The same, among other kinds of addresses."""

    socket_address: SocketAddress


def typed(name: str, kind: str, **fields: object) -> Json:
    """An extension: its name and its typed configuration."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}}


def tcp_address(port: int) -> Address:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def router() -> Json:
    return typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")


def sidecar_filters() -> list[Json]:
    """What istiod puts between a WasmPlugin of phase STATS and the router."""
    filters = "envoy.extensions.filters.http"
    return [
        typed(
            "envoy.filters.http.grpc_stats",
            f"{filters}.grpc_stats.v3.FilterConfig",
            emit_filter_state=True,
            stats_for_all_methods=False,
        ),
        typed("envoy.filters.http.fault", f"{filters}.fault.v3.HTTPFault"),
        typed("envoy.filters.http.cors", f"{filters}.cors.v3.Cors"),
    ]


def wasm(name: str, file: str, configuration: str, version: str) -> Json:
    """A WasmPlugin as it reaches Envoy, with the file local and its resource version in the VM's environment."""
    return typed(
        name,
        "envoy.extensions.filters.http.wasm.v3.Wasm",
        config={
            "name": "meshscribe.tap",
            "root_id": "tap",
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": file}},
                "environment_variables": {"key_values": {"ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": version}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "failure_policy": "FAIL_OPEN",
        },
    )


def access_log(cluster: str, authority: str, flush_seconds: float | None, buffer_bytes: int | None) -> Json:
    """The typed HTTP access log service, as MeshConfig's envoyHttpAls provider makes it."""
    common: Json = {
        "log_name": "meshscribe",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster, "authority": authority}},
        "filter_state_objects_to_log": ["upstream_peer", "downstream_peer"],
        "transport_api_version": "V3",
    }
    if flush_seconds is not None:
        common["buffer_flush_interval"] = f"{flush_seconds}s"
    if buffer_bytes is not None:
        common["buffer_size_bytes"] = buffer_bytes
    return typed(
        "envoy.access_loggers.http_grpc",
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config=common,
        additional_request_headers_to_log=["x-request-id", "user-agent", "traceparent"],
        additional_response_headers_to_log=["content-type", "server"],
    )


def deny(prefix: str) -> Json:
    """An AuthorizationPolicy that denies the paths under `prefix`, as istiod translates it."""
    rule = {"permissions": [{"url_path": {"path": {"prefix": prefix}}}], "principals": [{"any": True}]}
    return typed(
        "envoy.filters.http.rbac",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "DENY", "policies": {"ns[demo]-policy[deny]-rule[0]": rule}},
        shadow_rules_stat_prefix="istio_dry_run_allow_",
    )


class TapMissingError(MeshscribeError):
    """There is no tap.wasm. The message says where it was looked for."""


def tap_wasm(environment: Mapping[str, str] = os.environ) -> Path:
    """The filter's file: as MESHSCRIBE_TAP_WASM says, else beside this module (wheel), else in the checkout.

    Raises TapMissingError.
    """
    here = Path(__file__).resolve().parent
    named = environment.get(VARIABLE)
    places = [Path(named).resolve()] if named else [here / "tap.wasm", here.parent.parent / "wasm-config" / "tap.wasm"]
    for place in places:
        if place.is_file():
            return place
    looked = " nor at ".join(str(place) for place in places)
    raise TapMissingError(f"no tap filter at {looked}: build it with `make wasm`, or name it in {VARIABLE}")


def tap_config(**fields: object) -> Json:
    """The mesh-wide WasmPlugin's configuration with `fields` on top; `collector` is merged, not replaced."""
    given = fields.pop("collector", {})
    named = {"cluster": INGEST_CLUSTER, "path": "/v1/tap", "authority": COLLECTOR, **(given if isinstance(given, dict) else {})}
    return {"collector": named, **fields}
