"""The login in a process of its own: what the settings say stands before the audit API, and /readyz tells how it fares."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from collector.access.static_tokens import line, new_token
from tests.support.cluster import collector_alone


@pytest.mark.slow
def test_a_collector_that_others_reach_asks_who_looks(tmp_path: Path) -> None:
    token = new_token()
    (tmp_path / "tokens").write_text(line("alice", token) + "\n", encoding="utf-8")
    settings = {
        "MESHSCRIBE_AUDIT__HOST": "0.0.0.0",
        "MESHSCRIBE_ACCESS__TOKENS_FILE": str(tmp_path / "tokens"),
        "MESHSCRIBE_SINK__URL": f"sqlite:///{tmp_path}/events.db",
    }
    with ExitStack() as stack:
        collector = collector_alone(tmp_path, stack, settings)
        shown = {"authorization": f"Bearer {token}"}
        answers = [httpx.get(f"{collector.url}/v1/exchanges", headers=headers) for headers in ({}, shown)]
        assert [answer.status_code for answer in answers] == [401, 200]
        assert collector.components()["access/tokens"]["ok"]
        assert "who looks is asked who he is: static tokens" in (tmp_path / "collector.log").read_text()
