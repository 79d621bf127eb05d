"""What Istio accepts and then does something else with: names that must agree, and settings that lose logs or break traffic.

Each lint yields sentences, one a fault. None of these is found by Istio's schemas, and most of them not by istioctl either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.manifests.world import World, name_of

ROOT_NAMESPACE = "istio-system"


def providers_are_defined(world: World) -> Iterator[str]:
    """A Telemetry that names an unknown provider yields no log and no message."""
    defined = {provider["name"] for provider in world.mesh_config.get("extensionProviders", [])}
    for telemetry in world.of("Telemetry"):
        for logging in telemetry["spec"].get("accessLogging", []):
            for provider in logging.get("providers", []):
                if provider["name"] not in defined:
                    yield f"{name_of(telemetry)}: no extension provider {provider['name']!r} in the mesh's configuration"


def provider_names_are_unique(world: World) -> Iterator[str]:
    names = Counter(provider["name"] for provider in world.mesh_config.get("extensionProviders", []))
    yield from (f"extension provider {name!r} is there {n} times" for name, n in names.items() if n > 1)


def providers_reach_a_grpc_port(world: World) -> Iterator[str]:
    """A short or unknown service, or a wrong port: istiod drops the provider, or the proxies' batches fail."""
    services = world.services()
    for provider in world.mesh_config.get("extensionProviders", []):
        for kind in ("envoyHttpAls", "envoyTcpAls", "envoyOtelAls"):
            if kind not in provider:
                continue
            namespace, _, host = provider[kind].get("service", "").rpartition("/")
            port = provider[kind].get("port")
            if host not in services or namespace not in ("", services[host].namespace):
                yield f"provider {provider['name']!r}: no service {provider[kind].get('service')!r}"
            elif not services[host].ports.get(port, "").startswith("grpc"):
                yield f"provider {provider['name']!r}: {port} is no gRPC port of {host}"


def one_root_telemetry(world: World) -> Iterator[str]:
    """Of several mesh-wide Telemetries Istio takes the oldest and passes over the others."""
    roots = [
        name_of(telemetry)
        for telemetry in world.of("Telemetry")
        if telemetry["metadata"].get("namespace") == ROOT_NAMESPACE
        and not {"selector", "targetRef", "targetRefs"} & telemetry["spec"].keys()
    ]
    if len(roots) > 1:
        yield f"more than one mesh-wide Telemetry: {', '.join(roots)}"


def plugins_fail_open(world: World) -> Iterator[str]:
    """Istio's default is FAIL_CLOSE: a filter that cannot be fetched fails every request."""
    for name, wasm in world.plugins():
        if wasm.get("failStrategy") != "FAIL_OPEN":
            yield f"{name}: failStrategy must be FAIL_OPEN, is {wasm.get('failStrategy')}"


def plugins_run_in_servers_only(world: World) -> Iterator[str]:
    """Without a match the filter would also copy what the pod itself calls."""
    for document in world.of("WasmPlugin", "TrafficExtension"):
        modes = [match.get("mode") for match in document["spec"].get("match", [])]
        if not modes or set(modes) != {"SERVER"}:
            yield f"{name_of(document)}: match.mode must be SERVER"


def plugin_clusters_exist(world: World) -> Iterator[str]:
    """A post to an unknown cluster, or to a port of the wrong protocol, never leaves the proxy."""
    services = world.services()
    for name, wasm in world.plugins():
        for text in _strings(wasm.get("pluginConfig", {})):
            if not text.startswith("outbound|"):
                continue
            _, port, subset, host = text.split("|")
            known = services[host].ports if host in services else {}
            if subset or not known.get(int(port), "").startswith("http"):
                yield f"{name}: {text!r} is no HTTP port of a service of ours"


def plugin_authorities_are_hosts(world: World) -> Iterator[str]:
    for name, wasm in world.plugins():
        collector = wasm.get("pluginConfig", {}).get("collector", {})
        if collector and collector.get("authority") != collector.get("cluster", "").rpartition("|")[2]:
            yield f"{name}: the authority {collector.get('authority')!r} is not the host of the cluster"


def plugin_checksums_fit(world: World) -> Iterator[str]:
    """`sha256` is the image's digest for oci://, and the file's checksum for http:// and file://. Wrong: nothing is tapped."""
    for name, wasm in world.plugins():
        url, checksum = wasm.get("url", ""), wasm.get("sha256")
        if checksum is None:
            continue
        expected = url.partition("@sha256:")[2] if url.startswith("oci://") else world.wasm_sha256
        if expected is not None and checksum != expected:
            yield f"{name}: sha256 {checksum} does not fit {url} (expected {expected or 'none'})"


def destination_rules_fit(world: World) -> Iterator[str]:
    services = world.services()
    for rule in world.of("DestinationRule"):
        host, policy = rule["spec"]["host"], rule["spec"].get("trafficPolicy", {})
        if host not in services:
            yield f"{name_of(rule)}: no service {host!r}"
            continue
        for level in policy.get("portLevelSettings", []):
            if level["port"]["number"] not in services[host].ports:
                yield f"{name_of(rule)}: {host} has no port {level['port']['number']}"
            if "tcp" in policy.get("connectionPool", {}) and "tcp" not in level.get("connectionPool", {}):
                yield f"{name_of(rule)}: port {level['port']['number']} discards the tcp settings above it"


def destination_rule_limits_are_positive(world: World) -> Iterator[str]:
    """Istio turns a limit of 0 into 2^32-1 and takes a negative one as it is."""
    for rule in world.of("DestinationRule"):
        policy = rule["spec"].get("trafficPolicy", {})
        for level in [policy, *policy.get("portLevelSettings", [])]:
            for limit, value in level.get("connectionPool", {}).get("http", {}).items():
                if isinstance(value, int) and value <= 0:
                    yield f"{name_of(rule)}: {limit} is {value}"


def policies_open_every_ingest_port(world: World) -> Iterator[str]:
    """With one ALLOW policy on a workload, every port that none of them names is shut."""
    policies = [policy for policy in world.of("AuthorizationPolicy") if policy["spec"].get("action", "ALLOW") == "ALLOW"]
    opened = {
        port
        for policy in policies
        for rule in policy["spec"].get("rules", [])
        for to in rule.get("to", [])
        for port in to["operation"].get("ports", [])
    }
    for service in world.services().values():
        if not policies or service.namespace not in {policy["metadata"]["namespace"] for policy in policies}:
            continue
        yield from (f"no AuthorizationPolicy opens port {p} of {service.host}" for p in service.ports if str(p) not in opened)


def sidecars_see_the_collector(world: World) -> Iterator[str]:
    """A Sidecar whose egress leaves the collector out removes its cluster from the proxy: silence."""
    targets = {provider_host(provider) for provider in world.mesh_config.get("extensionProviders", [])} - {""}
    services = [service for service in world.services().values() if service.host in targets]
    for sidecar in world.of("Sidecar"):
        namespace = sidecar["metadata"]["namespace"]
        hosts = [host for egress in sidecar["spec"].get("egress", []) for host in egress["hosts"]]
        for service in services:
            own = {"./*"} if service.namespace == namespace else set()
            if hosts and not {"*/*", f"{service.namespace}/*", f"{service.namespace}/{service.host}", *own} & set(hosts):
                yield f"{name_of(sidecar)} in {namespace}: egress hides {service.host}"


def provider_host(provider: dict[str, Any]) -> str:
    services = [value.get("service", "") for value in provider.values() if isinstance(value, dict)]
    return str(services[0]).rpartition("/")[2] if services else ""


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


Lint = Callable[[World], Iterator[str]]
LINTS: tuple[Lint, ...] = (
    providers_are_defined,
    provider_names_are_unique,
    providers_reach_a_grpc_port,
    one_root_telemetry,
    plugins_fail_open,
    plugins_run_in_servers_only,
    plugin_clusters_exist,
    plugin_authorities_are_hosts,
    plugin_checksums_fit,
    destination_rules_fit,
    destination_rule_limits_are_positive,
    policies_open_every_ingest_port,
    sidecars_see_the_collector,
)
