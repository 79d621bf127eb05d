"""Which rights a role has, and what somebody may see: what rules give him and what Kubernetes' RBAC does, added up.

Where neither is set, whoever has proven who he is sees all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from collector.access.looker import EVERYTHING, Looker, Person, Reach, Right
from collector.settings.access import MOST_OWNERS, RoleName, Rule, When

ROLES: Mapping[RoleName, frozenset[Right]] = {
    "auditor": frozenset(Right),
    "viewer": frozenset({Right.EXCHANGES, Right.SERVICES}),
    "tenant": frozenset({Right.EXCHANGES, Right.SERVICES, Right.USAGE}),
    "billing": frozenset({Right.USAGE}),
    "operator": frozenset({Right.LEDGER, Right.SERVICES}),
}


def looker(rules: Iterable[Rule], person: Person) -> Looker:
    """What this person may see: what all rules about him give, added up. Without one, nothing."""
    rights: dict[Right, Reach] = {}
    for rule in rules:
        reach = _reach(rule, person) if is_about(rule.when, person) else None
        if reach is not None:
            add(rights, ROLES[rule.role], reach)
    return Looker(person, rights)


def add(rights: dict[Right, Reach], more: Iterable[Right], reach: Reach) -> None:
    """Gives these rights, beside those that are there."""
    for right in more:
        rights[right] = together(rights.get(right, Reach()), reach)


def together(one: Reach, other: Reach) -> Reach:
    """What either covers."""
    if one.everything or other.everything:
        return EVERYTHING
    return Reach(namespaces=one.namespaces | other.namespaces, consumers=one.consumers | other.consumers)


def is_about(when: When, person: Person) -> bool:
    """Whether all that is said holds of this person."""
    claims = person.claims or {}
    return (
        when.name in ("", person.name)
        and when.proof in ("", person.proof)
        and (not when.group or when.group in person.groups)
        and all(value in _texts(claims.get(name)) for name, value in when.claims.items())
    )


def _reach(rule: Rule, person: Person) -> Reach | None:
    if not rule.is_limited:
        return EVERYTHING
    claimed = _texts((person.claims or {}).get(rule.namespaces_claim))[:MOST_OWNERS] if rule.namespaces_claim else []
    if rule.namespaces_claim and not claimed:
        return None
    return Reach(namespaces=frozenset([*rule.namespaces, *claimed]), consumers=frozenset(rule.consumers))


def _texts(value: object) -> Sequence[str]:
    """The values of a claim as rules write them."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str | int):
        return [str(value)]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


class Rbac(Protocol):
    """Kubernetes', where it is asked (subject_access.py)."""

    async def looker(self, person: Person) -> Looker:
        """What it lets this person see. Raises RetryableError."""
        ...


class Authority:
    """Says what people may see."""

    def __init__(self, rules: Sequence[Rule], rbac: Rbac | None) -> None:
        self._rules, self._rbac = rules, rbac

    async def looker(self, person: Person) -> Looker:
        """What this person may see. Raises RetryableError: who has to be asked does not answer, and rules give him nothing."""
        if not self._rules and self._rbac is None:
            return Looker(person, dict.fromkeys(Right, EVERYTHING))
        found = looker(self._rules, person)
        if self._rbac is None:
            return found
        rights = dict(found.rights)
        for right, reach in (await self._rbac.looker(person)).rights.items():
            add(rights, [right], reach)
        return Looker(person, rights)
