"""Proof by a bearer token: what it says of itself, believed by nobody; who judges it; and what that comes to, a Person or an error.

Why a proof failed is for the log. Who asks is told no more than that it did: which part was wrong helps those who guess. Light: the
command line looks at its own token with it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Protocol

import orjson

from collector.access.looker import Person
from collector.errors import PermanentError, RetryableError

MAX_CHARS = 16 << 10  # of a token; a request's headers have 64 KiB


def peek(token: str) -> tuple[Mapping[str, object], Mapping[str, object]] | None:
    """Header and claims as the token has them; None: it is no such token."""
    parts = token.split(".", 3)
    if len(parts) != 3 or len(token) > MAX_CHARS:
        return None
    try:
        header, claims = (orjson.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except ValueError:
        return None
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def audiences(claims: Mapping[str, object]) -> list[object]:
    """Whom it was made for; empty: it does not say."""
    found = claims.get("aud")
    return found if isinstance(found, list) else [] if found is None else [found]


class NotProvenError(PermanentError):
    """The credential proves nobody. The message says why, for the log; it never holds the credential."""


class CannotProveError(RetryableError):
    """Who has to be asked does not answer now, so nothing is known of the credential."""


class Prover(Protocol):
    """One way to prove by a bearer token who one is."""

    def takes(self, token: str) -> bool:
        """Whether a token of this shape is this prover's to judge. It costs next to nothing, and asks nobody."""
        ...

    async def prove(self, token: str) -> Person:
        """Whose token it is. Raises NotProvenError or CannotProveError."""
        ...


class Bearers:
    """All provers of bearer tokens, in order: the first that takes a token judges it, and nobody after it."""

    def __init__(self, *provers: Prover) -> None:
        self._provers = provers

    async def prove(self, token: str) -> Person:
        """See Prover."""
        if len(token) > MAX_CHARS:
            raise NotProvenError(f"the token has {len(token)} characters, which none has that we take")
        for prover in self._provers:
            if prover.takes(token):
                return await prover.prove(token)
        raise NotProvenError("no way of proof that is set (section access) takes a token of this shape")
