"""Which check finds which fault: manifests that a real Istio refused, or took and did something else with.

Each file of broken/ is one manifest (or MeshConfig: .mesh) of accepted/ with one fault, after which it is named. `crd`, `types`,
`mesh-config` and `cel` are checks of check/main.go; any other name is a lint of lints_mesh.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifests import lints_mesh
from tests.manifests.conftest import HERE, Check, mesh_config_of, read_documents
from tests.manifests.world import World

ACCEPTED, BROKEN = HERE / "accepted", HERE / "broken"
CAUGHT_BY = {
    "a1-bad-action": {"crd", "types"},
    "a2-unknown-field": {"crd", "types"},
    "a3-bad-port": {"policies_open_every_ingest_port"},
    "c1-bad-host": {"sidecars_see_the_collector"},
    "c2-hides-collector": {"sidecars_see_the_collector"},
    "d1-unknown-field": {"crd", "types"},
    "d2-wrong-host": {"destination_rules_fit"},
    "d3-bad-duration": {"crd", "types"},
    "d4-negative": {"destination_rule_limits_are_positive"},
    "d5-wrong-port": {"destination_rules_fit"},
    "e1-bad-context": {"crd", "types"},
    "e2-bad-operation": {"crd", "types"},
    "m1-unknown-field": {"mesh-config"},
    "m2-unknown-service": {"providers_reach_a_grpc_port"},
    "m3-no-service": {"providers_reach_a_grpc_port"},
    "m4-bad-port": {"providers_reach_a_grpc_port"},
    "m5-dup-name": {"provider_names_are_unique", "providers_are_defined"},
    "m6-two-kinds": {"mesh-config"},
    "m7-unknown-kind": {"mesh-config"},
    "m8-short-service": {"providers_reach_a_grpc_port"},
    "m9-wrong-port": {"providers_reach_a_grpc_port"},
    "p1-bad-mode": {"crd", "types"},
    "s1-no-hosts": {"crd"},
    "s2-dup-port": {"crd"},
    "s3-bad-resolution": {"crd", "types"},
    "t1-unknown-field": {"crd", "types"},
    "t2-bad-enum": {"crd", "types"},
    "t3-unknown-provider": {"providers_are_defined"},
    "t4-bad-cel-syntax": {"cel"},
    "t5-cel-unknown-attr": {"cel"},
    "t6-cel-not-bool": {"cel"},
    "t7-two-root-telemetries": {"one_root_telemetry"},
    "t8-bad-apiversion": {"crd"},
    "w1-bad-failstrategy": {"crd", "types"},
    "w2-no-url": {"crd"},
    "w3-unknown-field": {"crd", "types"},
    "w4-selector-and-targetrefs": {"crd"},
    "w5-bad-port": {"crd"},
    "x1-wasm-and-lua": {"crd", "types"},
    "x2-no-filter": {"crd"},
    "x3-bad-url-scheme": {"crd"},
    "x4-bad-sha": {"crd"},
    "x5-selector-and-targetrefs": {"crd"},
    "x6-bad-failstrategy": {"crd", "types"},
    "x7-field-at-wrong-level": {"crd", "types"},
    "x8-bad-phase": {"crd", "types"},
}


@pytest.fixture(scope="module")
def accepted() -> World:
    documents = [d for file in sorted(ACCEPTED.glob("[0-9]*.yaml")) for d in read_documents(file.read_text(encoding="utf-8"))]
    return World(documents, mesh_config_of(ACCEPTED / "mesh-config.yaml"))


@pytest.fixture(scope="module")
def caught(check: Check) -> dict[str, set[str]]:
    """By file: the checks that found something. The program reads Istio's definitions once for all: that takes longer than the checks."""
    found: dict[str, set[str]] = {file.stem: set() for file in BROKEN.iterdir()}
    for finding in (*check.verify(*BROKEN.glob("*.yaml")), *check.mesh_config(*BROKEN.glob("*.mesh"))):
        found[Path(finding["file"]).stem].add(finding["check"])
    return found


def test_the_table_names_every_broken_file() -> None:
    assert {file.stem for file in BROKEN.iterdir()} == set(CAUGHT_BY)


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_a_fault_is_caught_by_the_named_checks(caught: dict[str, set[str]], accepted: World, fault: str) -> None:
    (file,) = BROKEN.glob(f"{fault}.*")
    # A manifest that is refused never reaches the mesh, so the lints are not asked.
    assert (caught[fault] or _lints(accepted, file)) == CAUGHT_BY[fault]


def _lints(accepted: World, file: Path) -> set[str]:
    if file.suffix == ".mesh":
        world = World(accepted.documents, mesh_config_of(file))
    else:
        world = accepted
        for document in read_documents(file.read_text(encoding="utf-8")):
            world = world.with_document(document)
    before = {(lint.__name__, fault) for lint in lints_mesh.LINTS for fault in lint(accepted)}
    after = {(lint.__name__, fault) for lint in lints_mesh.LINTS for fault in lint(world)}
    return {name for name, _ in after - before}
