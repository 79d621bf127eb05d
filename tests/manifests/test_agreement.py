"""The manifests agree with what else the repository holds: the collector's settings, the image, the filter, the documentation."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from collector import settings
from collector.http.connections import Bounds
from tests.manifests import lints_pod
from tests.manifests.conftest import MANIFESTS, ROOT, Check, read_documents, wasm_sha256
from tests.manifests.world import World

DOCKERFILE = ROOT / "Dockerfile"
INSTALL = ROOT / "docs" / "install.md"


def test_the_collector_takes_the_settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
        monkeypatch.delenv(name)
    (config_map,) = world.of("ConfigMap")
    for name, value in config_map["data"].items():
        monkeypatch.setenv(name, value)
    loaded = settings.load()
    assert (loaded.ingest.host, loaded.ingest.port, loaded.ingest.grpc_port) == ("0.0.0.0", 8080, 4315)
    assert (loaded.audit.host, loaded.audit.port) == ("0.0.0.0", 8081)
    assert (loaded.access.kubernetes.enabled, loaded.access.open, loaded.audit.probe_port) == (True, False, 8082)
    assert str(loaded.journal.path) == "/var/lib/meshscribe/journal.db"
    assert loaded.sink.url == "sqlite:////var/lib/meshscribe/events.db"


def test_the_memory_limit_holds_what_the_settings_allow(world: World) -> None:
    """The bounds of the defaults, twice: Python's objects are larger than the bytes they hold."""
    defaults = settings.Settings()
    heads = defaults.ingest.max_connections * Bounds(defaults.ingest.max_connections).head_bytes
    bounds = defaults.ingest.max_waiting_bytes + heads + defaults.correlate.open_bytes + defaults.correlate.late_bytes
    limit = world.pod()["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert 2 * bounds <= int(limit.removesuffix("Gi")) << 30


def test_the_image_runs_as_the_user_and_with_the_commands_of_the_pod(world: World) -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    user = world.pod()["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in text
    assert 'ENTRYPOINT ["meshscribe"]' in text
    pod = world.pod()["spec"]
    assert [c["args"] for c in pod.get("initContainers", []) + pod["containers"]] == [["serve"]], "it migrates its file itself"


def test_a_server_s_tables_are_migrated_before_it_is_used(check: Check, tmp_path: Path) -> None:
    world = World(read_documents(check.render_with(MANIFESTS / "postgres", tmp_path)), {})
    pod = world.pod()["spec"]
    (migrate,), (serve,) = pod["initContainers"], pod["containers"]
    assert [migrate["args"], serve["args"]] == [["migrate"], ["serve"]]
    assert [migrate[name] for name in ("image", "envFrom", "volumeMounts")] == [
        serve[name] for name in ("image", "envFrom", "volumeMounts")
    ]
    assert list(lints_pod.pods_are_confined(world)) == []


def test_the_tap_image_holds_the_filter_where_the_proxies_look() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tap,) = [stage for stage in stages if stage.startswith("scratch AS tap\n")]
    assert re.search(r"^COPY .*\s/plugin\.wasm$", tap, flags=re.MULTILINE)


def test_the_image_copies_only_what_the_context_holds() -> None:
    allowed = {
        line.removeprefix("!").strip("/").removesuffix("/**")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sources = {source.strip("/") for line in copied for source in line.split() if not source.startswith("--")}
    assert sources
    assert {source for source in sources if not any(f"{source}/".startswith(f"{entry}/") for entry in allowed)} == set()


@pytest.mark.parametrize("overlay", ["all-in-one", "traffic-extension"])
def test_the_filter_takes_its_configuration(worlds: dict[str, World], overlay: str) -> None:
    schema = json.loads((ROOT / "wasm-config" / "plugin-config.schema.json").read_text(encoding="utf-8"))
    ((_, wasm),) = worlds[overlay].plugins()
    jsonschema.validate(wasm["pluginConfig"], schema)


def test_the_committed_filter_has_the_committed_checksum() -> None:
    wasm = ROOT / "wasm-config" / "tap.wasm"
    checksum = wasm_sha256()
    assert wasm.exists() == (checksum is not None)
    if checksum is not None:
        assert hashlib.sha256(wasm.read_bytes()).hexdigest() == checksum


def test_the_installation_guide_names_files_and_objects_that_exist(world: World) -> None:
    text = INSTALL.read_text(encoding="utf-8")
    paths = set(re.findall(r"\b(?:manifests|wasm-config)/[\w./-]*\w", text))
    assert paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    roles = yaml.safe_load_all((MANIFESTS / "roles" / "roles.yaml").read_text(encoding="utf-8"))
    names = {document["metadata"]["name"] for document in (*world.documents, *roles)} | {"meshscribe-als", "meshscribe-collector"}
    named = set(re.findall(r"\bmeshscribe-[a-z]+(?:-[a-z]+)*", text))
    assert named - names == set()


def test_the_installation_guide_names_counters_that_the_filter_has() -> None:
    source = (ROOT / "wasm-config" / "tap-filter" / "src" / "envoy.rs").read_text(encoding="utf-8")
    counted = set(re.findall(r"\bmeshscribe_tap_\w+", source))
    named = set(re.findall(r"\bmeshscribe_tap_\w+", INSTALL.read_text(encoding="utf-8")))
    assert named
    assert named <= counted
