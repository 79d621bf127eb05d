"""Bearer tokens that the OpenID Connect provider signed."""

from __future__ import annotations

from collections.abc import Mapping

from collector.access.claims import person_of
from collector.access.looker import Person
from collector.access.peek import peek
from collector.access.proof import NotProvenError
from collector.access.provider import Provider
from collector.access.signed import Rules, UnknownKeyError, verify
from collector.clock import Clock
from collector.settings.access import Oidc


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
