"""Which rights a role has, and what rules give to a person. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from collector.access.looker import EVERYTHING, Looker, Person, Reach, Right
from collector.settings.access_rules import MOST_OWNERS, RoleName, Rule, When

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
