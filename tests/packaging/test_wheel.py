"""The wheel holds all that `migrate` and `serve` need: it is built, installed into an empty environment, and run there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from collector.demo.ports import Ports

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_migrates_and_serves(tmp_path: Path) -> None:
    run(UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", tmp_path, ROOT, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    run(UV, "venv", "--python", sys.executable, tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env/bin/python"
    run(UV, "pip", "install", "--python", python, "-c", ROOT / "requirements.lock", wheel, cwd=tmp_path)
    with Ports() as ports:
        audit = ports.take()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MESHSCRIBE_", "PYTHON"))},
            "MESHSCRIBE_INGEST__PORT": "0",
            "MESHSCRIBE_INGEST__GRPC_PORT": "0",
            "MESHSCRIBE_AUDIT__PORT": str(audit),
            "MESHSCRIBE_SINK__URL": f"sqlite:///{tmp_path}/events.db",
            "MESHSCRIBE_JOURNAL__PATH": str(tmp_path / "journal.db"),
        }
        meshscribe = str(tmp_path / "env/bin/meshscribe")
        migrated = subprocess.run([meshscribe, "migrate"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert migrated.returncode == 0, migrated.stderr
        assert "0001" in migrated.stdout
        serving = subprocess.Popen([meshscribe, "serve"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        try:
            assert _ready(f"http://127.0.0.1:{audit}/readyz"), serving.poll()
        finally:
            serving.send_signal(signal.SIGTERM)
            _, errors = serving.communicate(timeout=60)
        assert serving.returncode == 0, errors


def _ready(url: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.05)
    return False
