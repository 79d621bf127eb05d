"""Every manifest is held against the code that reads it in a cluster: see check/main.go."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.manifests.conftest import HERE, MANIFESTS, MESH_CONFIGS, Check, mesh_config_of, read_documents
from tests.manifests.world import DELETE, change

COMPONENTS = ("postgres",)  # rendered with an overlay only
KUSTOMIZATIONS = sorted({str(file.parent.relative_to(MANIFESTS)) for file in MANIFESTS.rglob("kustomization.yaml")} - {*COMPONENTS})


@pytest.mark.parametrize("directory", KUSTOMIZATIONS)
def test_what_a_kustomization_renders_is_accepted(check: Check, tmp_path: Path, directory: str) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(check.render(MANIFESTS / directory), encoding="utf-8")
    assert check.verify(rendered) == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_overlay_with_a_component_is_accepted(check: Check, tmp_path: Path, component: str) -> None:
    rendered = tmp_path / "rendered.yaml"
    (tmp_path / "overlay").mkdir()
    rendered.write_text(check.render_with(MANIFESTS / component, tmp_path / "overlay"), encoding="utf-8")
    assert check.verify(rendered) == []


def test_every_manifest_is_part_of_a_kustomization(check: Check) -> None:
    rendered = {_key(d) for path in KUSTOMIZATIONS for d in read_documents(check.render(MANIFESTS / path))}
    files = [file for file in MANIFESTS.rglob("*.yaml") if file.name != "kustomization.yaml" and MESH_CONFIGS not in file.parents]
    written = {_key(document) for file in files for document in read_documents(file.read_text(encoding="utf-8"))}
    assert written <= rendered


def test_the_base_is_applied_by_one_command_and_needs_no_other(check: Check) -> None:
    kinds = {document["kind"] for document in read_documents(check.render(MANIFESTS / "base"))}
    assert {"Namespace", "Deployment", "Service", "AuthorizationPolicy", "PeerAuthentication", "NetworkPolicy"} <= kinds
    assert not {"WasmPlugin", "TrafficExtension"} & kinds


def test_the_mesh_configurations_are_accepted_and_say_the_same(check: Check) -> None:
    files = sorted(MESH_CONFIGS.iterdir())
    assert check.mesh_config(*files) == []
    first, *others = [mesh_config_of(file) for file in files]
    assert len(others) == 2
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("kind", "path", "value", "check_name"),
    [
        ("Deployment", "spec.template.spec.terminationGracePeriodSecond", 60, "decode"),
        ("Deployment", "spec.replicas", "one", "decode"),
        ("NetworkPolicy", "apiVersion", "networking.k8s.io/v2", "decode"),
        ("ConfigMap", "data.MESHSCRIBE_AUDIT__PORT", 8081, "decode"),
        ("WasmPlugin", "spec.url", DELETE, "crd"),
        ("Telemetry", "spec.accessLogging.0.disable", True, "crd"),
        ("Telemetry", "spec.accessLogging.0.filter", {"expression": "!request.useragent.startsWith('kube-probe/')"}, "cel"),
        ("Telemetry", "spec.accessLogging.0.filter", {"expression": "has(request.useragent)"}, "cel"),
    ],
)
def test_a_fault_in_our_own_manifests_is_found(check: Check, tmp_path: Path, kind: str, path: str, value: object, check_name: str) -> None:
    document = next(d for d in read_documents(check.render(MANIFESTS / "overlays" / "all-in-one")) if d["kind"] == kind)
    change(document, path, value)
    assert check_name in {finding["check"] for finding in _verified(check, tmp_path, document)}


def test_a_key_that_is_there_twice_is_found(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {}\ndata: {a: b}\n", encoding="utf-8")
    assert [finding["check"] for finding in check.verify(file)] == ["decode"]


def test_what_istio_accepted_is_accepted_here(check: Check) -> None:
    """These manifests ran on a real istiod: a check that refuses them is wrong."""
    assert check.verify(*sorted((HERE / "accepted").glob("[0-9]*.yaml"))) == []
    assert check.mesh_config(HERE / "accepted" / "mesh-config.yaml") == []


def _verified(check: Check, directory: Path, document: dict[str, object]) -> list[dict[str, str]]:
    file = directory / "broken.yaml"
    file.write_text(_dump(document), encoding="utf-8")
    return check.verify(file)


def _dump(document: dict[str, object]) -> str:
    return str(yaml.safe_dump(document))


def _key(document: dict[str, object]) -> tuple[object, ...]:
    metadata = document["metadata"]
    assert isinstance(metadata, dict)
    return document["kind"], metadata["name"]
