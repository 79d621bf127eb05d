"""Kubernetes' tokens at the door: what the API server says holds for ten seconds, and its silence is no answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.settings import Access, KubernetesLogin
from tests.access.browsers import Browser
from tests.access.conftest import Door, Doors
from tests.kubernetes.cluster import ScriptedCluster, write_kubeconfig

ACCOUNTS = "/api/v1/namespaces/models/serviceaccounts"


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    made = ScriptedCluster()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def guarded(door: Doors, cluster: ScriptedCluster, tmp_path: Path) -> Door:
    config = write_kubeconfig(tmp_path / "kubeconfig", "http", cluster.port)
    return await door(Access(kubernetes=KubernetesLogin(enabled=True, kubeconfig=config)))


@pytest.fixture
async def token(cluster: ScriptedCluster) -> str:
    await cluster.operator.call("POST", ACCOUNTS, {"metadata": {"name": "auditor"}})
    answer = await cluster.operator.call("POST", f"{ACCOUNTS}/auditor/token", {"spec": {"audiences": ["meshscribe"]}})
    return str(answer["status"]["token"])


async def test_a_service_account_s_token_opens(guarded: Door, token: str) -> None:
    assert (await guarded.knock(token)).status_code == 200
    who = (await guarded.knock(token, "/login/who")).json()
    assert (who["name"], who["proof"]) == ("system:serviceaccount:models:auditor", "kubernetes")
    assert (await guarded.knock("admin")).status_code == 401


async def test_a_session_ends_with_its_account(guarded: Door, cluster: ScriptedCluster, token: str) -> None:
    browser = Browser(guarded)
    assert (await browser.paste(token, await browser.form())).status_code == 303
    assert await browser.look() == 200
    await cluster.operator.call("DELETE", f"{ACCOUNTS}/auditor")
    guarded.clock.now += 10_000_000
    assert await browser.look() == 401


async def test_while_the_api_server_is_away_nobody_is_let_in_and_nobody_is_logged_out(
    guarded: Door, cluster: ScriptedCluster, token: str
) -> None:
    browser = Browser(guarded)
    await browser.paste(token, await browser.form())
    await cluster.stop()
    guarded.clock.now += 10_000_000
    answer = await guarded.knock(token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert await browser.look() == 503
    assert (await browser.page()).status_code == 200
    [part] = guarded.opened.components()
    assert (part.name, part.ok) == ("access/kubernetes", False)
    await cluster.start()
    assert await browser.look() == 200
