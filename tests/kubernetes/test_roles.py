"""Kubernetes' RBAC says what somebody may see: on the scripted API server, and on a real one with `make test-kubernetes`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import yaml

from collector.access.looker import EVERYTHING, Person, Reach, Right
from collector.access.roles import ROLES
from collector.access.subject_access import SubjectAccess
from collector.enrich.api import Api, Timings, connect_with
from collector.errors import RetryableError
from tests.kubernetes.cluster import Cluster, ScriptedCluster, write_kubeconfig
from tests.support.clocks import TurnedClock
from tests.support.waits import until_holds

RBAC = "/apis/rbac.authorization.k8s.io/v1"
EXAMPLES = Path(__file__).parents[2] / "manifests" / "roles" / "roles.yaml"
ADA = Person("ada", "kubernetes", ("search-team", "system:authenticated"))
Asked = tuple[SubjectAccess, TurnedClock]
Bind = Callable[..., Awaitable[None]]


@pytest.fixture
async def examples(cluster: Cluster) -> AsyncIterator[Bind]:
    """The example roles, and a hand that binds one of them to a user or a group."""
    roles = list(yaml.safe_load_all(EXAMPLES.read_text()))
    for role in roles:
        await cluster.operator.call("POST", f"{RBAC}/clusterroles", role)
    made: list[str] = []

    async def bind(role: str, kind: str, name: str, namespace: str = "") -> None:
        where = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
        await cluster.operator.call(
            "POST",
            where,
            {
                "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
                "metadata": {"name": f"{role}-{name}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"meshscribe-{role}"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}],
            },
        )
        made.append(f"{where}/{role}-{name}")

    yield bind
    for path in [*made, *(f"{RBAC}/clusterroles/{role['metadata']['name']}" for role in roles)]:
        await cluster.operator.call("DELETE", path)


@pytest.fixture
async def asked(kubeconfig: Path) -> AsyncIterator[Asked]:
    async def namespaces() -> Sequence[str]:
        return ["models", "default"]

    clock, api = TurnedClock(), Api(connect_with(str(kubeconfig)), Timings(connect_s=5.0))
    yield SubjectAccess(api, namespaces, clock), clock
    await api.close()


async def comes_to(asked: Asked, wanted: dict[Right, Reach]) -> None:
    """A binding takes some hundredths of a second to be in force."""

    async def holds() -> bool:
        asked[1].now += 11_000_000
        return (await asked[0].looker(ADA)).rights == wanted

    await until_holds(holds)


async def test_nobody_has_a_right_that_was_not_given(cluster: Cluster, examples: Bind, asked: Asked) -> None:
    assert (await asked[0].looker(ADA)).rights == {}


@pytest.mark.parametrize("role", ROLES)
async def test_a_cluster_wide_binding_gives_the_role_s_rights_over_everything(examples: Bind, asked: Asked, role: str) -> None:
    await examples(role, "User", "ada")
    await comes_to(asked, dict.fromkeys(ROLES[role], EVERYTHING))  # type: ignore[index]


async def test_a_binding_in_a_namespace_gives_them_there_to_a_group_too(examples: Bind, asked: Asked) -> None:
    await examples("tenant", "Group", "search-team", "models")
    await comes_to(asked, dict.fromkeys(ROLES["tenant"], Reach(namespaces=frozenset({"models"}))))


async def test_who_may_not_ask_lets_nobody_in(kubeconfig_of: Callable[[str], Path]) -> None:
    async def namespaces() -> Sequence[str]:
        return []

    api = Api(connect_with(str(kubeconfig_of("nobody"))), Timings(connect_s=5.0))
    found = SubjectAccess(api, namespaces, TurnedClock())
    with pytest.raises(RetryableError, match="forbidden"):
        await found.looker(ADA)
    assert not found.component().ok
    await api.close()


async def test_an_api_server_that_is_away_lets_nobody_in(scripted: ScriptedCluster, tmp_path: Path) -> None:
    async def namespaces() -> Sequence[str]:
        return []

    api = Api(connect_with(str(write_kubeconfig(tmp_path / "config", "http", scripted.port))), Timings(connect_s=5.0))
    found = SubjectAccess(api, namespaces, TurnedClock())
    await scripted.stop()
    with pytest.raises(RetryableError):
        await found.looker(ADA)
    await api.close()
