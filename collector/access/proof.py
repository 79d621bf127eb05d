"""What proving who one is can come to: a Person, or one of these errors.

Why a proof failed is for the log. Who asks is told no more than that it did: which part was wrong helps those who guess.
"""

from __future__ import annotations

from typing import Protocol

from collector.access.looker import Person
from collector.access.peek import MAX_CHARS
from collector.errors import PermanentError, RetryableError


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
