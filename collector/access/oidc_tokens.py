"""Bearer tokens that the OpenID Connect provider signed, and the person whom the claims of a verified one name."""

from __future__ import annotations

from collections.abc import Mapping

from collector.access.looker import Person, is_name
from collector.access.proof import NotProvenError, peek
from collector.access.provider import Provider
from collector.access.signed import Rules, UnknownKeyError, verify
from collector.clock import Clock
from collector.settings.access import Oidc

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


class OidcTokens:
    """Takes tokens that say they are the provider's; then nobody else is asked about them."""

    def __init__(self, settings: Oidc, provider: Provider, clock: Clock) -> None:
        self._settings, self._provider, self._clock = settings, provider, clock

    def takes(self, token: str) -> bool:
        """See Prover."""
        seen = peek(token)
        return seen is not None and seen[1].get("iss") == self._settings.issuer

    async def prove(self, token: str) -> Person:
        """See Prover."""
        return person_of(await self.claims(token, self._settings.audience), self._settings)

    async def claims(self, token: str, audience: str) -> Mapping[str, object]:
        """Of a token made for this audience. Raises NotProvenError or CannotProveError."""
        settings, now = self._settings, self._clock.now_us() / 1e6
        rules = Rules(settings.issuer, audience, frozenset(settings.algorithms), settings.leeway_seconds)
        try:
            return verify(token, await self._provider.keys(), rules, now)
        except UnknownKeyError as error:
            newer = await self._provider.newer_keys()
            try:
                return verify(token, newer, rules, now)
            except UnknownKeyError:
                raise NotProvenError(str(error)) from None
