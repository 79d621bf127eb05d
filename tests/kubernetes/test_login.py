"""TokenReview: on the scripted API server, and on a real one with `make test-kubernetes`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from collector.access.looker import Person
from collector.access.proof import CannotProveError, NotProvenError
from collector.access.token_review import MAX_KNOWN, TokenReviews
from collector.enrich.api import Api, Timings, connect_with
from collector.settings import KubernetesLogin
from tests.kubernetes.cluster import Cluster, ScriptedCluster, write_kubeconfig
from tests.support.clocks import TurnedClock
from tests.support.waits import until_holds

ACCOUNTS = "/api/v1/namespaces/models/serviceaccounts"
Made = Callable[..., tuple[TokenReviews, TurnedClock]]


@pytest.fixture
async def reviews(kubeconfig: Path) -> AsyncIterator[Made]:
    """TokenReviews of the cluster, and their clock."""
    apis = []

    def made(config: Path = kubeconfig, **settings: object) -> tuple[TokenReviews, TurnedClock]:
        clock, api = TurnedClock(), Api(connect_with(str(config)), Timings(connect_s=5.0))
        apis.append(api)
        return TokenReviews(KubernetesLogin(enabled=True, **settings), api, clock), clock

    yield made
    for api in apis:
        await api.close()


async def account(cluster: Cluster, name: str, *audiences: str) -> str:
    """A new ServiceAccount's token for these audiences; none: for the API server."""
    await cluster.operator.call("POST", ACCOUNTS, {"metadata": {"name": name}})
    return await token_of(cluster, name, *audiences)


async def token_of(cluster: Cluster, name: str, *audiences: str) -> str:
    spec = {"audiences": list(audiences), "expirationSeconds": 600}
    answer = await cluster.operator.call(
        "POST", f"{ACCOUNTS}/{name}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    )
    return str(answer["status"]["token"])


async def proven(found: TokenReviews, token: str) -> Person | None:
    try:
        return await found.prove(token)
    except NotProvenError:
        return None


async def test_a_token_for_us_names_its_account_and_groups(cluster: Cluster, reviews: Made) -> None:
    token = await account(cluster, "auditor", "meshscribe")
    person = await reviews()[0].prove(token)
    assert (person.name, person.proof) == ("system:serviceaccount:models:auditor", "kubernetes")
    assert {"system:serviceaccounts:models", "system:authenticated"} <= set(person.groups)
    await cluster.operator.call("DELETE", f"{ACCOUNTS}/auditor")


async def test_a_token_for_somebody_else_proves_nobody(cluster: Cluster, reviews: Made) -> None:
    others, own = await account(cluster, "job", "another-service"), await token_of(cluster, "job")
    found = reviews()[0]
    assert [await proven(found, token) for token in (others, own, "rubbish", "a.b.c", "admin")] == [None] * 5
    assert found.component().ok
    await cluster.operator.call("DELETE", f"{ACCOUNTS}/job")


async def test_with_no_audience_the_api_server_s_own_tokens_do(cluster: Cluster, reviews: Made) -> None:
    ours, own = await account(cluster, "person", "meshscribe"), await token_of(cluster, "person")
    found = reviews(audience="")[0]
    assert await proven(found, ours) is None
    assert (await found.prove(own)).name == "system:serviceaccount:models:person"
    await cluster.operator.call("DELETE", f"{ACCOUNTS}/person")


async def test_a_token_of_a_deleted_account_ends_when_the_answer_is_forgotten(cluster: Cluster, reviews: Made) -> None:
    token = await account(cluster, "gone", "meshscribe")
    found, clock = reviews()
    assert await proven(found, token) is not None
    await cluster.operator.call("DELETE", f"{ACCOUNTS}/gone")

    async def ended() -> bool:  # a real API server remembers tokens for some seconds itself
        clock.now += 10_000_000
        return await proven(found, token) is None

    await until_holds(ended)


async def test_an_account_that_may_not_review_is_told_and_proves_nobody(
    cluster: Cluster, reviews: Made, kubeconfig_of: Callable[[str], Path]
) -> None:
    token = await account(cluster, "other", "meshscribe")
    found = reviews(kubeconfig_of("nobody"))[0]
    with pytest.raises(CannotProveError):
        await found.prove(token)
    assert not found.component().ok
    assert "forbidden" in found.component().detail
    assert token not in found.component().detail
    await cluster.operator.call("DELETE", f"{ACCOUNTS}/other")


async def test_the_api_server_is_asked_once_for_ten_seconds_and_for_all_who_wait(
    scripted: ScriptedCluster, reviews: Made, tmp_path: Path
) -> None:
    token = await account(scripted, "auditor", "meshscribe")
    found, clock = reviews(write_kubeconfig(tmp_path / "config", "http", scripted.port))
    people = scripted.server.people
    assert len(await asyncio.gather(*(found.prove(token) for _ in range(50)))) == 50
    assert people.reviewed == [token]
    clock.now += 9_999_000
    await found.prove(token)
    assert people.reviewed == [token]
    clock.now += 2_000
    await found.prove(token)
    assert people.reviewed == [token] * 2


@pytest.mark.slow
async def test_what_is_remembered_is_bounded_and_what_says_it_is_for_another_is_shown_to_nobody(
    scripted: ScriptedCluster, reviews: Made, tmp_path: Path
) -> None:
    found = reviews(write_kubeconfig(tmp_path / "config", "http", scripted.port))[0]
    for number in range(MAX_KNOWN + 10):
        assert await proven(found, f"guess-{number}") is None
    assert len(found._known) == MAX_KNOWN
    asked = len(scripted.server.people.reviewed)
    assert await proven(found, await account(scripted, "job", "another-service")) is None
    assert len(scripted.server.people.reviewed) == asked


async def test_an_api_server_that_is_away_is_not_taken_for_a_no(scripted: ScriptedCluster, reviews: Made, tmp_path: Path) -> None:
    token = await account(scripted, "auditor", "meshscribe")
    found, clock = reviews(write_kubeconfig(tmp_path / "config", "http", scripted.port))
    await found.prove(token)
    port = scripted.port
    await scripted.stop()
    assert (await found.prove(token)).name.endswith(":auditor")
    clock.now += 11_000_000
    with pytest.raises(CannotProveError):
        await found.prove(token)
    assert not found.component().ok
    assert scripted.port == port
    await scripted.start()
    await found.prove(token)
    assert found.component().ok
