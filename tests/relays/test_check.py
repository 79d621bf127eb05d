"""`meshscribe config check` on relays that would not run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from collector.cli import app


@pytest.mark.parametrize(("role", "said"), [("receive", "role receive runs none of them (r): role store does"), ("store", ""), ("all", "")])
def test_a_role_that_runs_no_relays_is_told(tmp_path: Path, role: str, said: str) -> None:
    relay = {"name": "r", "to": "http", "url": "http://h/"}
    settings = {"role": role, "kafka": {"bootstrap_servers": "h:1"}, "relays": [relay]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    done = CliRunner().invoke(app, ["config", "check", "--config", str(tmp_path / "c.yaml")])
    assert done.exit_code == 0
    assert ("runs none" in done.stderr) is bool(said)
    assert said in done.stderr
