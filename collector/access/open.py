"""Makes of the settings what stands before the audit API, and says in the log who is let in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from collector.access.attempts import Attempts
from collector.access.entrance import Entrance, MeshPrincipals
from collector.access.looker import Authorise
from collector.access.proof import Bearers, Prover
from collector.access.sessions import Sessions
from collector.access.static_tokens import StaticTokens
from collector.access.token_review import TokenReviews, api_of
from collector.clock import Clock
from collector.health import Component
from collector.settings import Access, Settings

if TYPE_CHECKING:
    from collector.access.oidc_login import OidcLogin
    from collector.access.provider import Provider

OPEN = "anybody who reaches the audit port sees all (access.open: true)"
LOOPBACK = "nobody is asked who he is: the audit port is on a loopback address, and section access names nobody (docs/access.md)"
_log = logging.getLogger("meshscribe.access")


class Opened:
    """The entrance, if there is one, and how its parts fare."""

    def __init__(self, settings: Access) -> None:
        self.settings = settings
        self.entrance: Entrance | None = None
        self._provider: Provider | None = None
        self._reviews: TokenReviews | None = None
        self._tokens: StaticTokens | None = None

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        if self.settings.open:
            return (Component("access", True, OPEN),)
        found = [part.component() for part in (self._provider, self._reviews) if part is not None]
        if self._tokens is not None:
            found.append(Component("access/tokens", not self._tokens.fault, self._tokens.fault))
        return found

    async def begin(self, clock: Clock, stack: AsyncExitStack, authorise: Authorise) -> None:
        """Until the stack ends. Raises SettingsError: a file that does not fit."""
        provers = self._provers(clock)
        mesh = MeshPrincipals(self.settings.mesh.principals) if self.settings.mesh.principals else None
        login = self._start_oidc(clock, stack, provers) if self.settings.oidc.issuer else None
        provers += self._start_kubernetes(clock, stack) if self.settings.kubernetes.enabled else []
        bearers = Bearers(*provers)
        sessions = Sessions(bearers, clock, self.settings.session_seconds)
        self.entrance = Entrance(self.settings.url, bearers, mesh, sessions, Attempts(clock), authorise, login)

    def _provers(self, clock: Clock) -> list[Prover]:
        if self.settings.tokens_file is None:
            return []
        self._tokens = StaticTokens(self.settings.tokens_file, clock)
        self._tokens.open()
        return [self._tokens]

    def _start_oidc(self, clock: Clock, stack: AsyncExitStack, provers: list[Prover]) -> OidcLogin | None:
        """Adds the prover; the login of browsers, if there is one. What it needs (10 MiB of cryptography) is loaded here and not before."""
        from collector.access.oidc_login import OidcLogin
        from collector.access.oidc_tokens import OidcTokens
        from collector.access.provider import Provider

        settings = self.settings.oidc
        self._provider = provider = Provider(settings, clock)
        stack.push_async_callback(provider.stop)
        provider.start()
        tokens = OidcTokens(settings, provider, clock)
        provers.append(tokens)
        return OidcLogin(settings, provider, tokens) if settings.client_id else None

    def _start_kubernetes(self, clock: Clock, stack: AsyncExitStack) -> list[Prover]:
        api = api_of(self.settings.kubernetes)
        stack.push_async_callback(api.close)
        self._reviews = TokenReviews(self.settings.kubernetes, api, clock)
        return [self._reviews]


async def open_access(settings: Settings, clock: Clock, stack: AsyncExitStack, authorise: Authorise) -> Opened:
    """What stands before the audit API until the stack ends. Raises SettingsError."""
    opened = Opened(settings.access)
    if settings.access.asks:
        await opened.begin(clock, stack, authorise)
        _log.info("who looks is asked who he is: %s", ", ".join(_ways(settings.access)))
    elif settings.access.open:
        _log.warning(OPEN)
    else:
        _log.info(LOOPBACK)
    return opened


def _ways(settings: Access) -> list[str]:
    found = ["static tokens"] if settings.tokens_file is not None else []
    found += [f"tokens of {settings.oidc.issuer}"] if settings.oidc.issuer else []
    found += ["Kubernetes' tokens"] if settings.kubernetes.enabled else []
    return found + (["workloads of the mesh"] if settings.mesh.principals else [])
