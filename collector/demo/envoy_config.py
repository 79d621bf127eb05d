"""An Envoy bootstrap shaped like what istiod generates for a sidecar (measured with Istio 1.30), as plain data.

Names, filter order, stat prefixes and the HCM's options are Istio's; only these differ: the listeners bind directly
instead of getting redirected connections, everything is static instead of coming by xDS, and the collector's endpoints
are on this machine. The pods are those that the proxies announce; services.yaml has their services.
Pure: ports and files come in, a dict goes out (envoy.py writes and runs it).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from collector.demo.audit import Json
from collector.demo.envoy_filters import (
    ALS_CLUSTER,
    COLLECTOR,
    INGEST_CLUSTER,
    Address,
    access_log,
    router,
    sidecar_filters,
    tcp_address,
    typed,
    wasm,
)

UNLIMITED = 4294967295  # Istio's default for every circuit breaker
TAP_LABEL = "meshscribe.io/tap"  # what the WasmPlugin selects
LABELS: Mapping[str, str] = {
    "app": "isvc.iris-predictor",
    "component": "predictor",
    "serving.kserve.io/inferenceservice": "iris",
    "service.istio.io/canonical-name": "iris-predictor",
    "service.istio.io/canonical-revision": "latest",
}


@dataclass(frozen=True)
class Workload:
    """Who the proxy is. Becomes the node's id and metadata."""

    namespace: str = "demo"
    pod: str = "iris-predictor-0"
    workload: str = "iris-predictor"
    address: str = "127.0.0.1"
    labels: Mapping[str, str] = field(default_factory=lambda: dict(LABELS))
    cluster_id: str = "Kubernetes"
    kind: str = "sidecar"  # or router: a gateway

    @property
    def node_id(self) -> str:
        """As pilot-agent builds it: type~address~pod.namespace~namespace.svc.domain."""
        return f"{self.kind}~{self.address}~{self.pod}.{self.namespace}~{self.namespace}.svc.cluster.local"


@dataclass(frozen=True)
class Inbound:
    """One inbound listener. `tap` is the filter's configuration (a dict, or text as it is); None: not tapped."""

    port: int
    upstream: int
    tap: Json | str | None = None
    access_log: bool = True
    http2: bool = False  # to the upstream; from the client both are understood
    service_port: int = 8080
    filters: tuple[Json, ...] = ()  # in front of the tap, as Istio places authorization
    trailers: bool = False  # HTTP/1 trailers pass; Istio's default is that they do not
    cluster: str = ""  # the upstream's name where it is another pod's; empty: as Istio names this pod's own


@dataclass(frozen=True)
class Sidecar:
    """All that a bootstrap is made of. Ports are on 127.0.0.1."""

    admin_port: int
    listeners: Sequence[Inbound]
    ingest_port: int
    grpc_port: int
    wasm_file: Path | None = None
    workload: Workload = field(default_factory=Workload)
    log_flush_seconds: float | None = None  # None: Envoy's defaults, 1 s and 16 KiB
    log_buffer_bytes: int | None = None


class Admin(TypedDict):
    """Envoy's own pages."""

    address: Address
    profile_path: str


class Bootstrap(TypedDict):
    """A whole configuration of Envoy."""

    node: Json
    layered_runtime: Json
    admin: Admin
    static_resources: Json


def bootstrap(sidecar: Sidecar) -> Bootstrap:
    """The whole configuration. Raises ValueError if a listener is tapped but no wasm_file is given."""
    if sidecar.wasm_file is None and any(inbound.tap is not None for inbound in sidecar.listeners):
        raise ValueError("a listener is to be tapped, but there is no wasm_file")
    clusters = {cluster["name"]: cluster for cluster in map(_inbound_cluster, sidecar.listeners)}
    return {
        "node": node(sidecar.workload),
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "admin": {"address": tcp_address(sidecar.admin_port), "profile_path": "/dev/null"},
        "static_resources": {
            "listeners": [_listener(sidecar, inbound) for inbound in sidecar.listeners],
            "clusters": [*clusters.values(), _ingest_cluster(sidecar.ingest_port), _als_cluster(sidecar.grpc_port)],
        },
    }


def node(workload: Workload) -> Json:
    """The node as a sidecar announces it."""
    metadata = {
        "NAME": workload.pod,
        "NAMESPACE": workload.namespace,
        "WORKLOAD_NAME": workload.workload,
        "OWNER": f"kubernetes://apis/apps/v1/namespaces/{workload.namespace}/deployments/{workload.workload}",
        "LABELS": {TAP_LABEL: "true", **workload.labels},
        "CLUSTER_ID": workload.cluster_id,
        "MESH_ID": "cluster.local",
        "SERVICE_ACCOUNT": "default",
        "INSTANCE_IPS": workload.address,
        "ISTIO_VERSION": "1.30.3",
    }
    return {"id": workload.node_id, "cluster": f"{workload.workload}.{workload.namespace}", "metadata": metadata}


def _name(inbound: Inbound) -> str:
    """The cluster's name; Istio tells the upstreams of one pod by their service port."""
    return inbound.cluster or f"inbound|{inbound.service_port}||"


def _listener(sidecar: Sidecar, inbound: Inbound) -> Json:
    hcm = _connection_manager(sidecar, inbound)
    return {
        "name": f"127.0.0.1_{inbound.port}",
        "address": tcp_address(inbound.port),
        "filter_chains": [{"name": f"127.0.0.1_{inbound.port}", "filters": [hcm]}],
        "listener_filters": [
            typed(
                "envoy.filters.listener.http_inspector",
                "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
            )
        ],
        "listener_filters_timeout": "0s",
        "traffic_direction": "INBOUND",
        "continue_on_listener_filters_timeout": True,
    }


def _connection_manager(sidecar: Sidecar, inbound: Inbound) -> Json:
    tap = [] if inbound.tap is None else [_tap(sidecar, inbound.tap)]
    log = [access_log(ALS_CLUSTER, COLLECTOR, sidecar.log_flush_seconds, sidecar.log_buffer_bytes)]
    return typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=f"inbound_127.0.0.1_{inbound.port};",
        route_config=_routes(inbound),
        http_filters=[*inbound.filters, *tap, *sidecar_filters(), router()],
        server_name="istio-envoy",
        access_log=log if inbound.access_log else [],
        use_remote_address=False,
        forward_client_cert_details="APPEND_FORWARD",
        set_current_client_cert_details={"subject": True, "dns": True, "uri": True},
        proxy_100_continue=True,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        stream_idle_timeout="0s",
        normalize_path=True,
        request_id_extension={
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "use_request_id_for_trace_sampling": True,
            }
        },
        path_with_escaped_slashes_action="KEEP_UNCHANGED",
        http_protocol_options={"enable_trailers": inbound.trailers},
    )


def _tap(sidecar: Sidecar, config: Json | str) -> Json:
    text = config if isinstance(config, str) else json.dumps(config)
    # Istio gives each plugin resource a VM of its own by telling its resource version in the VM's environment.
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return wasm("extensions.istio.io/wasmplugin/meshscribe.tap", str(sidecar.wasm_file), text, version)


def _routes(inbound: Inbound) -> Json:
    route = {
        "cluster": _name(inbound),
        "timeout": "0s",
        "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2},
        "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
    }
    operation = f"iris-predictor.demo:{inbound.service_port}/*"
    default = {"match": {"prefix": "/"}, "route": route, "decorator": {"operation": operation}, "name": "default"}
    host = {"name": f"inbound|http|{inbound.service_port}", "domains": ["*"], "routes": [default]}
    return {"name": _name(inbound), "virtual_hosts": [host], "validate_clusters": False}


def _cluster(name: str, port: int, http2: bool, timeout: str = "10s", **more: object) -> Json:
    cluster: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": timeout,
        "circuit_breakers": {"thresholds": [dict.fromkeys(_LIMITS, UNLIMITED)]},
        "alt_stat_name": f"{name};",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": tcp_address(port)}}]}],
        },
        **more,
    }
    if http2:
        cluster["typed_extension_protocol_options"] = _protocol(http2_protocol_options={})
    return cluster


_LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")


def _protocol(**explicit: Json) -> Json:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {name: {"@type": f"type.googleapis.com/{name}", "explicit_http_config": explicit}}


def _inbound_cluster(inbound: Inbound) -> Json:
    cluster = _cluster(_name(inbound), inbound.upstream, inbound.http2)
    if inbound.trailers and not inbound.http2:
        cluster["typed_extension_protocol_options"] = _protocol(http_protocol_options={"enable_trailers": True})
    return cluster


def _ingest_cluster(port: int) -> Json:
    return _cluster(INGEST_CLUSTER, port, http2=False, timeout="1s")


def _als_cluster(port: int) -> Json:
    """With the keepalive of our DestinationRule: TCP's own does not notice a stopped process, but a dead machine."""
    keepalive = {"tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 10}}
    return _cluster(ALS_CLUSTER, port, http2=True, timeout="1s", upstream_connection_options=keepalive)


COST_CENTER = "billing.example.com/cost-center"
COST_CENTERS: Mapping[str, str] = {"iris": "1001", "chat": "2002"}  # as services.yaml has them

# Labels as KServe 0.17 gives them to an LLMInferenceService's pods.
_LLM_LABELS: Mapping[str, str] = {
    "app.kubernetes.io/part-of": "llminferenceservice",
    "app.kubernetes.io/name": "chat",
    "app.kubernetes.io/component": "llminferenceservice-workload",
    "meshscribe.io/tap": "true",
}

GATEWAY = Workload(pod="gateway-0", workload="gateway", labels={"app": "gateway", "meshscribe.io/tap": "true"}, kind="router")
CHAT_CLUSTER = "outbound|8000||chat-kserve-workload-svc.demo.svc.cluster.local"
WORKLOADS: Mapping[str, Workload] = {
    "iris": Workload(),
    "chat": Workload(pod="chat-kserve-0", workload="chat-kserve", labels=_LLM_LABELS),
}
