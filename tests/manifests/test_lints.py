"""Our manifests pass every lint, and every lint fails a copy that is broken in its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.manifests import lints_mesh, lints_pod
from tests.manifests.lints_mesh import Lint
from tests.manifests.world import DELETE, World

ALL = (*lints_mesh.LINTS, *lints_pod.LINTS)
OVERLAYS = ("all-in-one", "traffic-extension")
HOST = "meshscribe-ingest.meshscribe.svc.cluster.local"
PROVIDER = "extensionProviders.0.envoyHttpAls"
TELEMETRY, PLUGIN, EXTENSION = "Telemetry/meshscribe", "WasmPlugin/meshscribe-tap", "TrafficExtension/meshscribe-tap"
RULE, INGEST, POD = "DestinationRule/meshscribe-ingest", "Service/meshscribe-ingest", "Deployment/meshscribe-collector"
COLLECTOR = "spec.template.spec.containers.0"
SETTINGS = "ConfigMap/meshscribe-settings"
SIDECAR = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Sidecar",
    "metadata": {"name": "default", "namespace": "models"},
    "spec": {"egress": [{"hosts": ["./*", "istio-system/*"]}]},
}
OTHER_ROOT = {
    "apiVersion": "telemetry.istio.io/v1",
    "kind": "Telemetry",
    "metadata": {"name": "mesh-default", "namespace": "istio-system"},
    "spec": {"tracing": []},
}

Break = Callable[[World], World]


def edit(document: str, path: str, value: object) -> Break:
    return lambda world: world.broken(document, path, value)


def configure(path: str, value: object) -> Break:
    return lambda world: world.misconfigured(path, value)


FAULTS: list[tuple[Lint, Break]] = [
    (lints_mesh.providers_are_defined, edit(TELEMETRY, "spec.accessLogging.0.providers.0.name", "meshscribe")),
    (lints_mesh.providers_are_defined, edit("Telemetry/meshscribe-own-traffic", "spec.accessLogging.0.providers.0.name", "als")),
    (lints_mesh.provider_names_are_unique, lambda world: _twice(world)),
    (lints_mesh.providers_reach_a_grpc_port, configure(f"{PROVIDER}.service", "meshscribe-ingest")),
    (lints_mesh.providers_reach_a_grpc_port, configure(f"{PROVIDER}.service", f"models/{HOST}")),
    (lints_mesh.providers_reach_a_grpc_port, configure(f"{PROVIDER}.port", 4317)),
    (lints_mesh.providers_reach_a_grpc_port, configure(f"{PROVIDER}.port", 8080)),
    (lints_mesh.one_root_telemetry, lambda world: world.with_document(OTHER_ROOT)),
    (lints_mesh.plugins_fail_open, edit(PLUGIN, "spec.failStrategy", DELETE)),
    (lints_mesh.plugins_fail_open, edit(PLUGIN, "spec.failStrategy", "FAIL_RELOAD")),
    (lints_mesh.plugins_run_in_servers_only, edit(PLUGIN, "spec.match", DELETE)),
    (lints_mesh.plugins_run_in_servers_only, edit(PLUGIN, "spec.match.0.mode", "CLIENT_AND_SERVER")),
    (lints_mesh.plugin_clusters_exist, edit(PLUGIN, "spec.pluginConfig.collector.cluster", f"outbound|8081||{HOST}")),
    (lints_mesh.plugin_clusters_exist, edit(PLUGIN, "spec.pluginConfig.collector.cluster", f"outbound|4315||{HOST}")),
    (lints_mesh.plugin_clusters_exist, edit(PLUGIN, "spec.pluginConfig.collector.cluster", "outbound|8080||collector.local")),
    (lints_mesh.plugin_authorities_are_hosts, edit(PLUGIN, "spec.pluginConfig.collector.authority", "collector")),
    (lints_mesh.plugin_checksums_fit, edit(PLUGIN, "spec.sha256", "a" * 64)),
    (lints_mesh.plugin_checksums_fit, lambda world: _served_by_http(world)),
    (lints_mesh.destination_rules_fit, edit(RULE, "spec.host", "meshscribe.meshscribe.svc.cluster.local")),
    (lints_mesh.destination_rules_fit, edit(RULE, "spec.trafficPolicy.portLevelSettings", [{"port": {"number": 8080}}])),
    (lints_mesh.destination_rules_fit, edit(INGEST, "metadata.name", "meshscribe-taps")),
    (lints_mesh.destination_rule_limits_are_positive, edit(RULE, "spec.trafficPolicy.connectionPool.http.maxRetries", 0)),
    (
        lints_mesh.policies_open_every_ingest_port,
        edit("AuthorizationPolicy/meshscribe-ingest", "spec.rules.0.to.0.operation.ports", ["8080"]),
    ),
    (lints_mesh.sidecars_see_the_collector, lambda world: world.with_document(SIDECAR)),
    (lints_pod.ports_name_their_protocol, edit(INGEST, "spec.ports.1.name", "als")),
    (lints_pod.selectors_match_the_pod, edit(INGEST, "spec.selector", {"app": "meshscribe"})),
    (
        lints_pod.selectors_match_the_pod,
        edit("PeerAuthentication/meshscribe-collector", "spec.selector.matchLabels", {"app": "collector"}),
    ),
    (lints_pod.target_ports_exist, edit(INGEST, "spec.ports.0.targetPort", "http")),
    (lints_pod.target_ports_exist, edit("NetworkPolicy/meshscribe-collector", "spec.ingress.0.ports.0.port", "http")),
    (lints_pod.target_ports_exist, edit(POD, f"{COLLECTOR}.readinessProbe.httpGet.port", "http-tap")),
    (lints_pod.settings_fit_the_pod, edit(SETTINGS, "data.MESHSCRIBE_INGEST__GRPC_PORT", "4317")),
    (lints_pod.settings_fit_the_pod, edit(SETTINGS, "data.MESHSCRIBE_JOURNAL__PATH", "/tmp/journal.db")),
    (lints_pod.settings_fit_the_pod, edit(SETTINGS, "data.MESHSCRIBE_SINK__URL", "sqlite:///events.db")),
    (lints_pod.settings_fit_the_pod, edit(SETTINGS, "data.SQLITE_TMPDIR", "/tmp")),
    (lints_pod.service_links_are_off, edit(POD, "spec.template.spec.enableServiceLinks", DELETE)),
    (lints_pod.one_writer_owns_the_volume, edit(POD, "spec.replicas", 2)),
    (lints_pod.one_writer_owns_the_volume, edit(POD, "spec.strategy.type", "RollingUpdate")),
    (lints_pod.pods_are_confined, edit(POD, "spec.template.spec.securityContext.runAsNonRoot", False)),
    (lints_pod.pods_are_confined, edit(POD, f"{COLLECTOR}.securityContext.readOnlyRootFilesystem", False)),
    (lints_pod.pods_are_confined, edit(POD, "spec.template.spec.initContainers", [{"name": "first"}])),
]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("lint", ALL, ids=lambda lint: lint.__name__)
def test_our_manifests_pass(worlds: dict[str, World], overlay: str, lint: Lint) -> None:
    assert list(lint(worlds[overlay])) == []


def test_every_overlay_is_linted(worlds: dict[str, World]) -> None:
    assert sorted(worlds) == sorted(OVERLAYS)


@pytest.mark.parametrize(("lint", "break_"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_copy_fails(world: World, lint: Lint, break_: Break) -> None:
    assert list(lint(break_(world)))


def test_every_lint_has_a_broken_copy() -> None:
    assert {lint for lint, _ in FAULTS} == set(ALL)


def test_a_traffic_extension_is_linted_like_a_wasm_plugin(worlds: dict[str, World]) -> None:
    world = worlds["traffic-extension"]
    assert list(lints_mesh.plugins_fail_open(world.broken(EXTENSION, "spec.wasm.failStrategy", DELETE)))
    assert list(lints_mesh.plugins_run_in_servers_only(world.broken(EXTENSION, "spec.match", DELETE)))
    assert list(lints_mesh.plugin_clusters_exist(world.broken(EXTENSION, "spec.wasm.pluginConfig.collector.cluster", "outbound|1||x")))


def test_the_two_forms_of_the_tap_are_configured_alike(worlds: dict[str, World]) -> None:
    (plugin,), (extension,) = (list(worlds[overlay].plugins()) for overlay in OVERLAYS)
    shared = ("url", "failStrategy", "imagePullPolicy", "pluginName", "pluginConfig")
    assert [plugin[1].get(key) for key in shared] == [extension[1].get(key) for key in shared]


def test_an_image_pinned_by_its_digest_may_repeat_the_digest(world: World) -> None:
    digest = "b" * 64
    pinned = world.broken(PLUGIN, "spec.url", f"oci://registry.example.org/tap@sha256:{digest}")
    assert not list(lints_mesh.plugin_checksums_fit(pinned.broken(PLUGIN, "spec.sha256", digest)))


def test_a_filter_served_by_http_has_the_checksum_of_the_file(world: World) -> None:
    assert not list(lints_mesh.plugin_checksums_fit(replace(_served_by_http(world), wasm_sha256="c" * 64)))


def test_a_sidecar_that_names_the_collectors_namespace_is_fine(world: World) -> None:
    open_ = {**SIDECAR, "spec": {"egress": [{"hosts": ["./*", "meshscribe/*"]}]}}
    assert not list(lints_mesh.sidecars_see_the_collector(world.with_document(open_)))


def _twice(world: World) -> World:
    (provider,) = world.mesh_config["extensionProviders"]
    return world.misconfigured("extensionProviders", [provider, provider])


def _served_by_http(world: World) -> World:
    """With a checksum that tap.wasm may have had once."""
    remote = world.broken(PLUGIN, "spec.url", "https://files.example.org/tap.wasm")
    return replace(remote.broken(PLUGIN, "spec.sha256", "c" * 64), wasm_sha256="d" * 64)
