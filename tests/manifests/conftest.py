"""Builds the Go program `check` once a session and renders the kustomizations with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.world import Document, World

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFESTS = ROOT / "manifests"
MESH_CONFIGS = MANIFESTS / "istio" / "mesh-config"
# The program runs for seconds, and 500 packages are compiled for it where nothing was yet: what makes it fast, or fit for a debugger, or
# lets it call C, would take longer than it saves.
QUICKLY = ("-gcflags=all=-N -l -dwarf=false", "-ldflags=-s -w")


@dataclass(frozen=True)
class Check:
    """The built program and the file with Istio's custom resource definitions."""

    program: Path
    definitions: Path

    def render(self, directory: Path) -> str:
        return _run(str(self.program), "render", str(directory))

    def render_with(self, component: Path, folder: Path) -> str:
        """An overlay in this empty folder: the collector with its taps, and the component."""
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(MANIFESTS / "overlays" / "all-in-one", folder)],
            "components": [os.path.relpath(component, folder)],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
        return self.render(folder)

    def verify(self, *files: Path) -> list[dict[str, str]]:
        """Findings: file, document, check, message."""
        found: list[dict[str, str]] = json.loads(_run(str(self.program), "verify", "-crds", str(self.definitions), *map(str, files)))
        return found

    def mesh_config(self, *files: Path) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(_run(str(self.program), "mesh-config", *map(str, files)))
        return found


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Needs Go; its modules come from the module proxy. Minutes on a machine that never built it, seconds after that."""
    if shutil.which("go") is None:
        message = "Go is needed to check the manifests; MESHSCRIBE_ALLOW_SKIPS=1 skips these tests"
        if os.environ.get("MESHSCRIBE_ALLOW_SKIPS") == "1":
            pytest.skip(message)
        pytest.fail(message)
    program = tmp_path_factory.mktemp("check") / "check"
    _run("go", "build", "-mod=readonly", "-buildvcs=false", *QUICKLY, "-o", str(program), ".")
    module = _run("go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "istio.io/api").strip()
    return Check(program, Path(module) / "kubernetes" / "customresourcedefinitions.gen.yaml")


def _run(*command: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=HERE / "check", env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} exited {done.returncode}:\n{done.stderr}")
    return done.stdout


def read_documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


def mesh_config_of(file: Path) -> Document:
    """The MeshConfig in the file, whatever it is wrapped in."""
    outer = yaml.safe_load(file.read_text(encoding="utf-8"))
    inner = outer.get("spec", outer)
    found: Document = inner.get("meshConfig", inner)
    return found


def wasm_sha256() -> str | None:
    """The checksum of the tap filter that the repository holds."""
    file = ROOT / "wasm-config" / "tap.wasm.sha256"
    return file.read_text(encoding="utf-8").split()[0] if file.exists() else None


@pytest.fixture(scope="session")
def worlds(check: Check) -> dict[str, World]:
    """By overlay: what a user applies, with the mesh configuration to merge."""
    mesh_config = mesh_config_of(MESH_CONFIGS / "mesh-config.yaml")
    overlays = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
    return {name: World(read_documents(check.render(MANIFESTS / "overlays" / name)), mesh_config, wasm_sha256()) for name in overlays}


@pytest.fixture(scope="session")
def world(worlds: dict[str, World]) -> World:
    return worlds["all-in-one"]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """The first test of a session pays for the build."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(1200))
