"""Kubernetes' own tokens: the API server is asked whose they are (TokenReview). Answers hold for ten seconds at most, for about so long a
token outlives its ServiceAccount anyway.

Bounded: so many questions at a time, and so many answers remembered. Who sends endless tokens of his own making waits behind himself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

from collector.access.looker import Person
from collector.access.proof import CannotProveError, NotProvenError, audiences, peek
from collector.clock import Clock
from collector.enrich.api import Api, ApiError, Timings, connect_with
from collector.enrich.resource import KubernetesObject, items
from collector.health import Component
from collector.settings.access import KubernetesLogin

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
MAX_KNOWN = 1024
AT_ONCE = 8
MAX_WAITING = 64
CONNECT_SECONDS = 5.0  # that somebody who looks waits for the API server at most


class TokenReviews:
    """One API server."""

    def __init__(self, settings: KubernetesLogin, api: Api, clock: Clock) -> None:
        self._settings, self._api, self._clock = settings, api, clock
        self._known: OrderedDict[bytes, tuple[int, Person | None]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Person | None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.fault = ""

    def takes(self, token: str) -> bool:
        """See Prover. It stands last: all that nobody else takes."""
        return bool(token)

    async def prove(self, token: str) -> Person:
        """See Prover."""
        self._is_for_us(token)
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        held = self._known.get(key)
        if held is not None and self._clock.monotonic_us() - held[0] < self._settings.cache_seconds * 1e6:
            person = held[1]
        else:
            person = await self._ask_once(key, token)
        if person is None:
            raise NotProvenError("the Kubernetes API server does not know the token, or not for this audience")
        return person

    def component(self) -> Component:
        """Whether the API server answers."""
        return Component("access/kubernetes", not self.fault, self.fault)

    def _is_for_us(self, token: str) -> None:
        """What says itself that it is for somebody else need not be shown to anybody. Nothing else of it is believed."""
        seen, wanted = peek(token), self._settings.audience
        meant = audiences(seen[1]) if seen is not None else []
        if wanted and meant and wanted not in meant:
            raise NotProvenError(f"the token was made for {str(meant)[:200]}, not for {wanted!r} (access.kubernetes.audience)")

    async def _ask_once(self, key: bytes, token: str) -> Person | None:
        """Several who show one token at the same time are one question."""
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= MAX_WAITING:
                raise CannotProveError(f"{MAX_WAITING} tokens wait for the Kubernetes API server")
            task = self._asking[key] = asyncio.create_task(self._ask(token))
            task.add_done_callback(lambda done: self._answered(key, done))
        person = await asyncio.shield(task)
        self._known[key] = (self._clock.monotonic_us(), person)
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return person

    def _answered(self, key: bytes, task: asyncio.Task[Person | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # it is somebody's who waits; if all have gone, nobody's

    async def _ask(self, token: str) -> Person | None:
        spec: dict[str, object] = {"token": token}
        if self._settings.audience:
            spec["audiences"] = [self._settings.audience]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        async with self._turns:
            try:
                answer = await self._api.post(PATH, review)
            except ApiError as error:
                self.fault = f"TokenReview fails: {error}"
                raise CannotProveError(self.fault) from None
        self.fault = ""
        status = answer.get("status")
        return person_in(status, self._settings.audience) if isinstance(status, dict) else None


def api_of(settings: KubernetesLogin) -> Api:
    """The API server that is asked. The caller closes it."""
    kubeconfig = settings.kubeconfig
    connect = connect_with(str(kubeconfig) if kubeconfig is not None else None, in_cluster=kubeconfig is None)
    return Api(connect, Timings(connect_s=CONNECT_SECONDS))


def person_in(status: KubernetesObject, audience: str) -> Person | None:
    """Whom a TokenReview's status names, if it says so for this audience. An API server that knows of no audiences names none."""
    user = status.get("user")
    if status.get("authenticated") is not True or not isinstance(user, dict):
        return None
    if audience and audience not in items(status.get("audiences")):
        return None
    name, groups, extra = user.get("username"), user.get("groups") or [], user.get("extra")
    if not isinstance(name, str) or not name:
        return None
    claims = {"uid": user.get("uid"), "extra": extra} if isinstance(extra, dict) else {"uid": user.get("uid")}
    return Person(name, "kubernetes", tuple(str(group) for group in groups), claims)
