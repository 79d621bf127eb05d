"""Roles as plain Kubernetes RBAC: the API server is asked what a person may do (SubjectAccessReview) to resources that are only names.

First over the whole cluster, then, for what was denied there, in each namespace that is known. Who was proven by Kubernetes alone is asked
about: another provider's name could be the same as one of Kubernetes'. An API server that does not answer lets nobody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import orjson
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import EVERYTHING, Looker, Person, Reach, Right
from collector.access.roles import together
from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import RetryableError
from collector.health import Component
from collector.settings.access import MOST_OWNERS

KEPT_US = 10_000_000  # how long an answer holds
MOST = 1000
# From each namespace to the next one in the index: as many steps as there are namespaces, however many exchanges.
_STORED = text(
    "WITH RECURSIVE found (name) AS ("
    "SELECT min(namespace) FROM exchanges"
    " UNION ALL SELECT (SELECT min(namespace) FROM exchanges WHERE namespace > found.name) FROM found WHERE found.name IS NOT NULL"
    f") SELECT name FROM found WHERE name IS NOT NULL LIMIT {MOST}"
)


class KnownNamespaces:
    """Of one store. `services`: the namespaces of the catalogue, from memory."""

    def __init__(self, engine: AsyncEngine, services: Callable[[], Iterable[str]], clock: Clock) -> None:
        self._engine, self._services, self._clock = engine, services, clock
        self._held: tuple[int, Sequence[str]] | None = None

    async def __call__(self) -> Sequence[str]:
        """All of them, in order. Raises RetryableError: the store does not answer."""
        if self._held is None or self._clock.monotonic_us() - self._held[0] >= KEPT_US:
            self._held = (self._clock.monotonic_us(), await self._stored())
        return sorted({*self._held[1], *self._services()})

    async def _stored(self) -> Sequence[str]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(_STORED)).scalars())
        except (SQLAlchemyError, OSError) as error:
            raise RetryableError(f"which namespaces there are cannot be read: {getattr(error, 'orig', None) or error}") from error


PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
GROUP = "audit.meshscribe.io"
CACHE_US = 10_000_000  # as long as a TokenReview is remembered
MAX_KNOWN = 256  # people
AT_ONCE = 16  # questions
_log = logging.getLogger("meshscribe.access")


class Asked(NamedTuple):
    """What a right is called in a Role."""

    resource: str
    subresource: str
    verb: str


RESOURCES: Mapping[Right, Asked] = {
    Right.EXCHANGES: Asked("exchanges", "", "list"),
    Right.TEXTS: Asked("exchanges", "texts", "get"),
    Right.BODIES: Asked("exchanges", "bodies", "get"),
    Right.USAGE: Asked("usage", "", "list"),
    Right.LEDGER: Asked("ledger", "", "list"),
    Right.SERVICES: Asked("services", "", "list"),
    Right.ACCESS: Asked("access", "", "list"),
}
Namespaces = Callable[[], Awaitable[Sequence[str]]]


class Reviewer(Protocol):
    """The Kubernetes API, as far as it is needed: enrich/api.py."""

    async def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """The answer to a review. Raises ApiError, which is a RetryableError."""
        ...


class SubjectAccess:
    """One API server. `namespaces`: those that are asked for, one by one, where a person may not see all."""

    def __init__(self, api: Reviewer, namespaces: Namespaces, clock: Clock) -> None:
        self._api, self._namespaces, self._clock = api, namespaces, clock
        self._known: OrderedDict[tuple[str, tuple[str, ...], bytes], tuple[int, Looker]] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._complaints = Complaints(_log, clock)
        self.fault = ""

    async def looker(self, person: Person) -> Looker:
        """What the person may see. Raises RetryableError: the API server does not answer."""
        if person.proof != "kubernetes":
            return Looker(person, {})
        extra = orjson.dumps((person.claims or {}).get("extra"), option=orjson.OPT_SORT_KEYS)  # asked with, so it holds for that alone
        key = (person.name, person.groups, extra)
        held = self._known.get(key)
        if held is not None and self._clock.monotonic_us() - held[0] < CACHE_US:
            return held[1]
        found = Looker(person, await self._rights(person))
        self._known[key] = (self._clock.monotonic_us(), found)
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return found

    def component(self) -> Component:
        """Whether the API server answers."""
        return Component("access/roles", not self.fault, self.fault)

    async def _rights(self, person: Person) -> dict[Right, Reach]:
        everywhere = await self._allowed(person, [(right, "") for right in Right])
        found = {right: EVERYTHING for right, _ in everywhere}
        missing = [right for right in Right if right not in found]
        if not missing:
            return found
        names = await self._asked_for()
        for right, namespace in await self._allowed(person, [(right, name) for right in missing for name in names]):
            found[right] = together(found.get(right, Reach()), Reach(namespaces=frozenset({namespace})))
        return found

    async def _asked_for(self) -> Sequence[str]:
        names = sorted(await self._namespaces())
        if len(names) > MOST_OWNERS:
            told = f"{len(names)} namespaces are known, and a person is asked about in the first {MOST_OWNERS} only: give a ClusterRole"
            self._complaints.tell("namespaces", told, logging.WARNING)
        return names[:MOST_OWNERS]

    async def _allowed(self, person: Person, asked: Sequence[tuple[Right, str]]) -> list[tuple[Right, str]]:
        """Those of these rights in these namespaces that the person has. The first failure ends all."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._review(person, right, namespace)) for right, namespace in asked]
        failed = next((answer for task in tasks if isinstance(answer := task.result(), RetryableError)), None)
        self.fault = "" if failed is None else f"SubjectAccessReview fails: {failed}"
        if failed is not None:
            raise failed
        return [one for one, task in zip(asked, tasks, strict=True) if task.result() is True]

    async def _review(self, person: Person, right: Right, namespace: str) -> bool | RetryableError:
        async with self._turns:
            try:
                return is_allowed(await self._api.post(PATH, review(person, right, namespace)))
            except RetryableError as error:
                return error


def review(person: Person, right: Right, namespace: str) -> dict[str, object]:
    """The question. Without a namespace: over all of them."""
    asked = RESOURCES[right]
    wanted = {"group": GROUP, "resource": asked.resource, "verb": asked.verb}
    if asked.subresource:
        wanted["subresource"] = asked.subresource
    if namespace:
        wanted["namespace"] = namespace
    extra = (person.claims or {}).get("extra")
    spec: dict[str, object] = {"user": person.name, "groups": list(person.groups), "resourceAttributes": wanted}
    if isinstance(extra, dict):
        spec["extra"] = extra
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def is_allowed(answer: Mapping[str, object]) -> bool:
    """Whether it says yes, in so many words."""
    status = answer.get("status")
    return isinstance(status, dict) and status.get("allowed") is True and not status.get("denied")
