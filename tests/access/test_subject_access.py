"""Roles as plain Kubernetes RBAC, against an API server that answers as kube-apiserver does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from collector.access.looker import EVERYTHING, Person, Reach, Right
from collector.access.roles import Authority
from collector.access.subject_access import MAX_KNOWN, PATH, SubjectAccess, is_allowed
from collector.errors import RetryableError
from collector.settings.access import Rule
from tests.support.clocks import TurnedClock

ADA = Person("ada", "kubernetes", ("auditors", "system:authenticated"), {"uid": "1", "extra": {"scopes": ["a"]}})


class Rbac:
    """An API server whose bindings are (user or group, resource, namespace); `*` stands for all."""

    def __init__(self, *bindings: tuple[str, str, str]) -> None:
        self.bindings, self.away, self.asked = set(bindings), False, list[dict[str, Any]]()

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert path == PATH
        if self.away:
            raise RetryableError("the connection to the API server failed")
        spec = body["spec"]
        wanted = spec["resourceAttributes"]
        self.asked.append(spec)
        resource = "/".join(part for part in (wanted["resource"], wanted.get("subresource", "")) if part)
        subjects = [spec["user"], *spec["groups"]]
        places = {"*", wanted.get("namespace", "*")}
        allowed = any((who, resource, where) in self.bindings for who in subjects for where in places)
        return {**body, "status": {"allowed": allowed, "reason": "RBAC"}}


def made(rbac: Rbac, *names: str) -> tuple[SubjectAccess, TurnedClock]:
    async def namespaces() -> Sequence[str]:
        return names

    clock = TurnedClock()
    return SubjectAccess(rbac, namespaces, clock), clock


async def test_a_cluster_role_gives_a_right_over_everything() -> None:
    found = await made(Rbac(("auditors", "exchanges", "*"), ("ada", "exchanges/bodies", "*")), "shop", "lab")[0].looker(ADA)
    assert found.rights == {Right.EXCHANGES: EVERYTHING, Right.BODIES: EVERYTHING}


async def test_a_role_gives_it_in_its_namespace() -> None:
    rbac = Rbac(("ada", "exchanges", "shop"), ("auditors", "exchanges", "lab"), ("ada", "usage", "lab"), ("ada", "ledger", "unknown"))
    found = await made(rbac, "shop", "lab", "bank")[0].looker(ADA)
    assert found.rights == {
        Right.EXCHANGES: Reach(namespaces=frozenset({"shop", "lab"})),
        Right.USAGE: Reach(namespaces=frozenset({"lab"})),
    }


async def test_the_question_names_user_groups_and_extra_as_the_token_review_told_them() -> None:
    rbac = Rbac(("ada", "exchanges/texts", "*"))
    await made(rbac)[0].looker(ADA)
    assert {(one["user"], tuple(one["groups"]), str(one["extra"])) for one in rbac.asked} == {("ada", ADA.groups, "{'scopes': ['a']}")}
    assert {one["resourceAttributes"]["group"] for one in rbac.asked} == {"audit.meshscribe.io"}


async def test_an_answer_holds_for_ten_seconds() -> None:
    rbac = Rbac(*(("ada", "exchanges", "*"),))
    found, clock = made(rbac)
    await found.looker(ADA)
    asked = len(rbac.asked)
    rbac.bindings.clear()
    clock.now += 9_999_999
    assert Right.EXCHANGES in (await found.looker(ADA)).rights
    assert len(rbac.asked) == asked
    clock.now += 1
    assert (await found.looker(ADA)).rights == {}


async def test_an_answer_holds_for_the_token_it_was_asked_for() -> None:
    """An authorizer may look at `extra`, as OpenShift's scoped tokens have it."""
    rbac = Rbac(("ada", "exchanges", "*"))
    found, _ = made(rbac)
    await found.looker(ADA)
    asked = len(rbac.asked)
    await found.looker(replace(ADA, claims={"uid": "1", "extra": {"scopes": ["b"]}}))
    assert [one["extra"] for one in rbac.asked[asked:]] == [{"scopes": ["b"]}] * asked


async def test_an_api_server_that_is_away_lets_nobody_in_and_says_so() -> None:
    rbac = Rbac(("ada", "exchanges", "*"))
    found, clock = made(rbac)
    rbac.away = True
    with pytest.raises(RetryableError, match="failed"):
        await found.looker(ADA)
    assert not found.component().ok
    rbac.away = False
    await found.looker(ADA)
    assert found.component().ok
    clock.now += 20_000_000
    rbac.away = True
    with pytest.raises(RetryableError):
        await found.looker(ADA)


@pytest.mark.parametrize("proof", ["oidc", "token", "mesh", "nothing"])
async def test_a_name_of_another_provider_is_not_one_of_kubernetes(proof: Any) -> None:
    rbac = Rbac(("ada", "exchanges", "*"))
    assert (await made(rbac)[0].looker(Person("ada", proof))).rights == {}
    assert rbac.asked == []


@pytest.mark.parametrize("answer", [{}, {"status": None}, {"status": {"allowed": "true"}}, {"status": {"allowed": True, "denied": True}}])
def test_what_is_no_clear_yes_is_a_no(answer: dict[str, Any]) -> None:
    assert not is_allowed(answer)


async def test_what_is_remembered_is_bounded() -> None:
    found, _ = made(Rbac())
    for number in range(MAX_KNOWN + 5):
        await found.looker(Person(f"person-{number}", "kubernetes"))
    assert len(found._known) == MAX_KNOWN


async def test_rules_and_rbac_add_up() -> None:
    rule = Rule.model_validate({"when": {"name": "ada"}, "role": "tenant", "namespaces": ["bank"]})
    rbac = made(Rbac(("ada", "exchanges", "shop")), "shop")[0]
    found = await Authority([rule], rbac).looker(ADA)
    assert found.rights[Right.EXCHANGES] == Reach(namespaces=frozenset({"shop", "bank"}))
