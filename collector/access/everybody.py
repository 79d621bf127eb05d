"""The plainest answer to what a person may see: whoever has proven who he is sees all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from collector.access.looker import EVERYTHING, Looker, Person, Right

Authorise = Callable[[Person], Awaitable[Looker]]  # may raise RetryableError: who has to be asked does not answer


async def everything(person: Person) -> Looker:
    """All rights, over everything."""
    return Looker(person, dict.fromkeys(Right, EVERYTHING))
