"""`meshscribe services` against a whole collector that reads its services from a file."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.commands.services import changes
from tests.commands.conftest import Cli
from tests.commands.test_processes import COMMAND, Process, until
from tests.support import warm_start

SERVICE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: llama
  namespace: models
  uid: 0d6c
  annotations: {{team: {team}}}
spec:
  predictor:
    model: {{modelFormat: {{name: huggingface}}, storageUri: "hf://org/llama"}}
"""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[str]:
    """The URL of a collector with one service."""
    (tmp_path / "services.yaml").write_text(SERVICE.format(team="red"))
    settings = {"INGEST__PORT": "0", "INGEST__GRPC_PORT": "0", "AUDIT__PORT": "0", "SERVICES__ANNOTATIONS": '["team"]'}
    paths = {"JOURNAL__PATH": tmp_path / "j.db", "SINK__URL": f"sqlite:///{tmp_path}/e.db", "SERVICES__FILE": tmp_path / "services.yaml"}
    process = Process("serve", **{f"MESHSCRIBE_{name}": str(value) for name, value in {**settings, **paths}.items()})
    try:
        address = re.search(r"[\w.]+:\d+$", until(process.err, "audit: "))
        assert address
        yield f"http://{address[0]}"
    finally:
        process.close()


@pytest.mark.slow
def test_services_and_their_versions_are_shown_with_how_fresh_they_are(collector: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return warm_start.run(
            [*COMMAND, "services", *arguments, "--url", collector], capture_output=True, text=True, timeout=60, check=False
        )

    while not (told := run("-o", "json")).stdout.startswith("[\n{"):  # until the file is read
        assert told.returncode == 0, told.stderr
    [service] = json.loads(told.stdout)
    assert (service["namespace"], service["name"], service["annotations"]) == ("models", "llama", {"team": "red"})
    assert service["calls"]["billed"] == 0
    table = run("-n", "models")
    assert "without usage" in " ".join(table.stdout.split())
    assert "team=red" in table.stdout
    assert "last heard of" in table.stderr
    history = run("models/llama")
    assert "first known (InferenceService)" in history.stdout
    assert "annotations.team: red" in history.stdout
    missing = run("models/lama")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "There are: llama." in missing.stderr


@pytest.mark.parametrize("name", ["llama", "/llama", "models/", "a/b/c", "../x"])
def test_what_is_no_service_is_a_wrong_option(name: str) -> None:
    told = Cli("http://127.0.0.1:1")("services", name)
    assert told.exit_code == 2


def version(uid: str = "u", **more: object) -> dict[str, object]:
    return {"kind": "InferenceService", "uid": uid, "generation": 1, **more}


def test_what_changed_is_told_by_name() -> None:
    old = version(annotations={"team": "red", "gone": "1"}, labels={}, model={"name": "m"})
    new = version(annotations={"team": "blue"}, labels={"tier": "a"}, model={"name": "m"}) | {"generation": 2}
    assert changes(old, new) == [
        "annotations.gone: 1 (removed)",
        "annotations.team: red → blue",
        "generation: 1 → 2",
        "labels.tier: a (added)",
    ]
    assert changes(old, old) == ["nothing that records hold"]


def test_a_service_begins_ends_and_begins_again() -> None:
    assert changes(None, version(annotations={"team": "red"})) == ["first known (InferenceService)", "annotations.team: red"]
    assert changes(version(), version(deleted=True)) == ["deleted"]
    assert changes(version(deleted=True), version())[0] == "created again (InferenceService)"
    assert changes(version(), version("other"))[0] == "created again (InferenceService)"
