"""What rules give to a person."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from collector.access.looker import EVERYTHING, Person, Reach, Right
from collector.access.roles import ROLES, Authority, is_about, looker
from collector.settings.access import Rule, When

ADA = Person("ada", "oidc", ("auditors", "staff"), {"team": ["search", "shop"], "level": 3, "boss": True, "spaces": ["shop", "lab", 5]})


def rule(role: str, **more: object) -> Rule:
    return Rule.model_validate({"when": {"group": "staff"}, "role": role, **more})


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"name": "ada"}, True),
        ({"name": "bob"}, False),
        ({"group": "auditors"}, True),
        ({"group": "auditor"}, False),
        ({"proof": "oidc"}, True),
        ({"proof": "token", "name": "ada"}, False),
        ({"claims": {"team": "search"}}, True),
        ({"claims": {"team": "sea"}}, False),
        ({"claims": {"level": "3", "boss": "true"}}, True),
        ({"claims": {"level": "3", "none": "x"}}, False),
    ],
)
def test_a_rule_is_about_whom_all_of_it_holds_for(when: dict[str, object], holds: bool) -> None:
    assert is_about(When.model_validate(when), ADA) is holds


def test_without_a_rule_about_him_somebody_has_no_right_at_all() -> None:
    assert looker([Rule.model_validate({"when": {"name": "bob"}, "role": "auditor"})], ADA).rights == {}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gives_its_rights_within_its_reach(role: str) -> None:
    found = looker([rule(role, namespaces=["shop"])], ADA).rights
    assert found == dict.fromkeys(ROLES[role], Reach(namespaces=frozenset({"shop"})))  # type: ignore[index]


def test_only_the_auditor_reads_what_was_said() -> None:
    assert [role for role, rights in ROLES.items() if rights & {Right.TEXTS, Right.BODIES, Right.ACCESS}] == ["auditor"]


def test_rules_add_up() -> None:
    rules = [rule("billing", namespaces=["shop"]), rule("tenant", consumers=["c1"]), rule("operator")]
    found = looker(rules, ADA).rights
    assert found[Right.USAGE] == Reach(namespaces=frozenset({"shop"}), consumers=frozenset({"c1"}))
    assert found[Right.EXCHANGES] == Reach(consumers=frozenset({"c1"}))
    assert found[Right.SERVICES] == EVERYTHING


def test_a_claim_lists_the_namespaces_and_who_has_none_gets_nothing() -> None:
    rules = [rule("tenant", namespaces_claim="spaces"), rule("auditor", namespaces_claim="absent")]
    found = looker(rules, ADA).rights
    assert found[Right.EXCHANGES] == Reach(namespaces=frozenset({"shop", "lab"}))
    assert Right.BODIES not in found


@pytest.mark.parametrize("wrong", [{"role": "tenant"}, {"role": "king"}, {"role": "viewer", "when": {}}, {"role": "viewer", "unknown": 1}])
def test_a_rule_that_says_less_than_it_seems_to_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate({"when": {"group": "staff"}, **wrong})


async def test_where_nothing_is_said_of_roles_whoever_is_proven_sees_all() -> None:
    assert (await Authority([], None).looker(ADA)).rights == dict.fromkeys(Right, EVERYTHING)
    assert (await Authority([rule("billing")], None).looker(ADA)).rights == {Right.USAGE: EVERYTHING}
