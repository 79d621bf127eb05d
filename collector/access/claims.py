"""A Person out of the claims of a verified token. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from collector.access.looker import Person
from collector.access.proof import NotProvenError
from collector.settings.access import Oidc

MAX_NAME = 512  # characters of a name or a group
MAX_GROUPS = 2000
RESERVED = "system:"  # names and groups that begin so are Kubernetes' own: a provider's word makes nobody one of them


def person_of(claims: Mapping[str, object], settings: Oidc) -> Person:
    """Who it is. Raises NotProvenError: the claims name nobody."""
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or not is_name(name) or name.startswith(RESERVED):
        raise NotProvenError(f"its claim {settings.name_claim} (access.oidc.name_claim) is no name")
    if settings.name_claim == "email" and claims.get("email_verified", True) is not True:
        raise NotProvenError("its email is not verified: whoever writes an address into his profile would be that person")
    groups = claims.get(settings.groups_claim, [])
    listed = [groups] if isinstance(groups, str) else groups
    if not isinstance(listed, list) or len(listed) > MAX_GROUPS or not all(isinstance(group, str) for group in listed):
        raise NotProvenError(f"its claim {settings.groups_claim} (access.oidc.groups_claim) is no list of up to {MAX_GROUPS} groups")
    return Person(name, "oidc", tuple(group for group in listed if is_name(group) and not group.startswith(RESERVED)), claims)


def is_name(text: str) -> bool:
    """Whether it can stand in a log and in an event as a name."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and text.strip() == text
