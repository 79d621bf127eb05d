"""Who looks at the log, as it was proven, and how far that person may see.

A `Person` is made by what proves it (a token, the mesh, Kubernetes); rules or Kubernetes' RBAC make a `Looker` of it. The routes of
collector/audit ask the looker for the reach of the right they need, and put it into their statements.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

MAX_NAME = 512  # characters of a name or a group
Proof = Literal["oidc", "kubernetes", "mesh", "token", "session", "nothing"]


@dataclass(frozen=True, slots=True)
class Person:
    """A human, a job or a workload. `name` is unique among those with the same proof; `claims` are those of a verified token."""

    name: str
    proof: Proof
    groups: tuple[str, ...] = ()
    claims: Mapping[str, object] | None = None


class Right(Enum):
    """What of the log somebody may see."""

    EXCHANGES = "exchanges"  # records, without what was asked and answered
    TEXTS = "texts"  # what was asked and answered, in records
    BODIES = "exchanges/bodies"
    USAGE = "usage"
    LEDGER = "ledger"
    SERVICES = "services"
    ACCESS = "access"  # who has looked


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a right goes: over everything, or over what belongs to one of these namespaces or of these consumers."""

    everything: bool = False
    namespaces: frozenset[str] = frozenset()
    consumers: frozenset[str] = frozenset()


EVERYTHING = Reach(everything=True)


@dataclass(frozen=True, slots=True)
class Looker:
    """A person with rights. A right that is not among them is not had at all."""

    person: Person
    rights: Mapping[Right, Reach]


Authorise = Callable[[Person], Awaitable[Looker]]  # may raise RetryableError: who has to be asked does not answer
NOBODY = Person("nobody", "nothing")
OPEN = Looker(NOBODY, dict.fromkeys(Right, EVERYTHING))  # where nobody is asked who he is


def is_name(text: str) -> bool:
    """Whether it can stand in a log and in an event as a name."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and text.strip() == text
