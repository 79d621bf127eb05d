"""Trials of what is asked about who looks: the file of tokens, the provider, Kubernetes' API server."""

from __future__ import annotations

from pathlib import Path

from collector.access.proof import NotProvenError
from collector.access.provider import Provider
from collector.access.static_tokens import read
from collector.access.token_review import TokenReviews, api_of
from collector.clock import SystemClock
from collector.settings import KubernetesLogin, Oidc

NOBODYS = "a-token-that-nobody-has"


def try_tokens(path: Path) -> str:
    """Raises OSError, or BadInputError: a line is none."""
    return f"{len(read(path.read_text(encoding='utf-8')))} tokens"


async def try_provider(settings: Oidc) -> str:
    """Raises CannotProveError, or SettingsError: the file of authorities does not fit."""
    provider = Provider(settings, SystemClock())
    try:
        return f"answers, {len(await provider.keys())} keys"
    finally:
        await provider.stop()


async def try_token_reviews(settings: KubernetesLogin) -> str:
    """Raises CannotProveError: the API server is away, or does not let us ask."""
    api = api_of(settings)
    try:
        await TokenReviews(settings, api, SystemClock()).prove(NOBODYS)
    except NotProvenError:
        return "answers TokenReviews"
    finally:
        await api.close()
    return "answers TokenReviews, and knows a token that nobody has"
