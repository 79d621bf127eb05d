"""Mirrors one kind of service in one namespace (or all) into versions: list, watch, and every way in which these fail.

Guarantees: each change of an object becomes one version, in the server's order; what vanished unseen (a gap, a restart)
becomes a tombstone at the next list; a failure of the API server never ends it. Versions go to ``on_version``.
The ways of failure are those measured on a real API server; tests/kubernetes holds each as a test.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import orjson

from collector.clock import Clock
from collector.enrich.api import GONE, Api, ApiError, Timings
from collector.enrich.resource import KubernetesObject, changed_us, fingerprint, identity, in_force_from, items, mapping, version_of
from collector.enrich.selection import Selection
from collector.enrich.status import ReflectorStatus
from collector.enrich.version import INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, ServiceVersion
from collector.errors import BadInputError
from collector.retry import Backoff

GROUP = "serving.kserve.io"
PAGE = 250
# So many open watches in a row that told nothing, and the version we hold is given up for a new list: it may lie in
# the server's future (then watches end silently for ever), or what follows it cannot be read.
TRIES_BEFORE_RELIST = 4
MIN_FLOORS = 1000
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of Kubernetes object and the API versions in which we read it, best first."""

    kind: str
    plural: str
    versions: tuple[str, ...]


RESOURCES = (
    Resource(INFERENCE_SERVICE, "inferenceservices", ("v1beta1",)),
    Resource(LLM_INFERENCE_SERVICE, "llminferenceservices", ("v1alpha2", "v1alpha1")),
)


@dataclass(slots=True)
class _Known:
    last: ServiceVersion
    mark_us: int | None = None
    fingerprint: bytes | None = None


class Reflector:
    """One list-and-watch loop. `run` ends only by cancellation or by an error that is ours."""

    def __init__(
        self,
        resource: Resource,
        namespace: str | None,
        api: Api,
        on_version: Callable[[ServiceVersion], object],
        on_synced: Callable[[], object],
        *,
        selection: Selection,
        known: Iterable[ServiceVersion],
        clock: Clock,
        random: Callable[[], float],
        timings: Timings,
    ) -> None:
        """``known`` are the versions in force as of the last run: those whose object is gone by now get a tombstone.

        ``on_synced`` is called once, after the first complete list.
        """
        self._resource = resource
        self._namespace = namespace
        self._api = api
        self._on_version = on_version
        self._on_synced = on_synced
        self._selection = selection
        self._clock = clock
        self._random = random
        self._timings = timings
        self._backoff = Backoff(timings.backoff_first_s, timings.backoff_cap_s, random)
        self._known = {v.uid: _Known(v) for v in known if v.kind == resource.kind and self._covers(v.namespace)}
        # Since when each name had its last version, lest another object of that name counts from before it.
        self._floors: dict[tuple[str, str], int] = {(v.last.namespace, v.last.name): v.last.since_us for v in self._known.values()}
        self._path: str | None = None
        self._version: str | None = None
        self._opened = False
        self._tries = 0
        self._status = ReflectorStatus(resource.kind, namespace or "")

    def _covers(self, namespace: str) -> bool:
        return self._namespace is None or namespace == self._namespace

    def status(self) -> ReflectorStatus:
        """A copy of the figures, taken now."""
        return replace(self._status, objects=len(self._known))

    def crashed(self, detail: str) -> None:
        """Notes that `run` ended by an error of ours; the next `run` begins with a list."""
        self._version = None
        self._status.crashes += 1
        self._say("dead", detail)

    async def run(self) -> None:
        """Lists and watches until it is cancelled."""
        while True:
            self._opened = False
            try:
                if self._version is None:
                    await self._list()
                else:
                    await self._watch(self._version)
            except ApiError as error:
                await self._recover(error)

    async def _list(self) -> None:
        if self._path is None:
            self._path = await self._discover()
        seen: set[str] = set()
        token = ""
        while True:
            query = [("limit", str(PAGE)), *([("continue", token)] if token else [])]
            page = await self._api.get(self._path, query)
            metadata = mapping(page.get("metadata"))
            listed = page.get("items") or []  # an empty list may say null
            if not isinstance(listed, list):
                raise ApiError(f"{self._path}: the items are no list: {str(listed)[:100]}")
            for item in listed:
                seen.add(self._observe(item))
            told = metadata.get("continue")
            token = told if isinstance(told, str) else ""
            if not token:
                break
        self._listed(seen, str(metadata.get("resourceVersion", "")))

    def _listed(self, seen: set[str], resource_version: str) -> None:
        for uid in [uid for uid in self._known if uid not in seen]:
            self._end(uid, resource_version)
        self._version = resource_version
        self._status.lists += 1
        self._tries = 0
        self._say("listed", "")
        self._progress()
        self._synced()

    def _synced(self) -> None:
        if not self._status.synced:
            self._status.synced = True
            self._on_synced()

    async def _discover(self) -> str:
        """The path of the best served API version. Raises `ApiError` 404 where the CRD is missing."""
        group = await self._api.get(f"/apis/{GROUP}")
        served = {mapping(entry).get("version") for entry in items(group.get("versions"))}
        for version in self._resource.versions:
            if version in served and await self._serves(version):
                where = f"namespaces/{self._namespace}/" if self._namespace else ""
                return f"/apis/{GROUP}/{version}/{where}{self._resource.plural}"
        raise ApiError(f"none of {', '.join(self._resource.versions)} is served", 404)

    async def _serves(self, version: str) -> bool:
        found = await self._api.get(f"/apis/{GROUP}/{version}")
        return any(mapping(entry).get("name") == self._resource.plural for entry in items(found.get("resources")))

    async def _watch(self, resource_version: str) -> None:
        low, high = self._timings.watch_s
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(low + int(self._random() * (high - low + 1)))),
        ]
        loop = asyncio.get_running_loop()
        began, lines = loop.time(), 0
        async with self._api.lines(self._path or "", query) as stream:
            self._opened = True
            self._say("watching", "")
            async for line in stream:
                self._take(line)
                lines += 1
        if loop.time() - began < self._timings.short_watch_s:
            await self._ended_early(lines)

    async def _ended_early(self, lines: int) -> None:
        """A watch that ends within a second would make us spin; one that never says anything may watch a future."""
        if not lines:
            self._give_up_after_some_tries()
        await self._clock.sleep(self._backoff.next_s())

    def _give_up_after_some_tries(self) -> None:
        self._tries += 1
        if self._tries >= TRIES_BEFORE_RELIST:
            self._version = None

    def _take(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
        except ValueError as error:
            raise ApiError(f"a watch event is no JSON: {line[:100]!r}") from error
        if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
            raise ApiError(f"a watch event is no event: {line[:100]!r}")
        kind, item = event.get("type"), event["object"]
        if kind == "ERROR":
            _fail(item)
        if kind == "DELETED":
            if isinstance(uid := mapping(item.get("metadata")).get("uid"), str):
                self._end(uid, _resource_version(item))
        elif kind in ("ADDED", "MODIFIED"):
            self._observe(item)
        self._status.bookmarks += kind == "BOOKMARK"
        self._status.events += kind != "BOOKMARK"
        self._version = _resource_version(item) or self._version
        self._tries = 0
        self._progress()

    def _observe(self, item: KubernetesObject) -> str:
        """Takes an object's present state in; gives its uid (empty if it has none)."""
        try:
            uid, namespace, name = identity(item)
        except BadInputError as error:
            self._status.malformed += 1
            log.warning("%s: %s", self._resource.plural, error)
            return ""
        known = self._known.get(uid)
        print_now = fingerprint(item)
        if known is not None and known.fingerprint == print_now:
            return uid
        mark_us = changed_us(mapping(item["metadata"]))
        previous_us = known.last.since_us if known else None
        since_us = in_force_from(mark_us, self._clock.now_us(), previous_us, known.mark_us if known else None)
        since_us = max(since_us, self._floors.get((namespace, name), 0))
        version = version_of(item, self._resource.kind, since_us, self._selection)
        if known is not None and _is_known(known, version, mark_us):
            version = known.last
        else:
            self._on_version(version)
        self._known[uid] = _Known(version, mark_us, print_now)
        self._floor(version)
        return uid

    def _end(self, uid: str, resource_version: str) -> None:
        known = self._known.get(uid)
        if known is None:
            return
        tombstone = known.last.tombstone(resource_version, max(self._clock.now_us(), known.last.since_us))
        self._on_version(tombstone)
        del self._known[uid]
        if self._version is not None:
            # Seen as it happened: what comes under this name comes after it.
            self._floor(tombstone)

    def _floor(self, version: ServiceVersion) -> None:
        if len(self._floors) >= 2 * len(self._known) + MIN_FLOORS:
            alive = {(known.last.namespace, known.last.name) for known in self._known.values()}
            self._floors = {name: since_us for name, since_us in self._floors.items() if name in alive}
        self._floors[version.namespace, version.name] = version.since_us

    def _progress(self) -> None:
        self._backoff.reset()
        self._status.last_heard_us = self._clock.now_us()

    async def _recover(self, error: ApiError) -> None:
        self._status.errors += 1
        if error.status == GONE:
            self._status.gone += 1
            self._version = None
            self._say("starting", "")
        elif error.status == 404:
            self._path = self._version = None
            # Nothing to see is also seen: the collector need not wait for a CRD that may never come.
            self._synced()
            self._say("missing", f"{self._resource.plural}.{GROUP} is not installed ({error}); asking again")
        elif error.status == 403:
            self._say("forbidden", self._missing_right(error))
        else:
            if self._opened:
                # A server that is down is no reason: only a watch resumed where it was tells every change in between.
                self._give_up_after_some_tries()
            self._say("failing", f"{self._resource.plural}: {error} (status {error.status})")
        if error.status == 401:
            await self._api.renew()
        await self._clock.sleep(self._backoff.next_s(error.retry_after_s))

    def _missing_right(self, error: ApiError) -> str:
        scope = f"namespace {self._namespace}" if self._namespace else "all namespaces"
        return (
            f"not allowed to read {self._resource.plural} in {scope}: grant the collector's ServiceAccount get, list "
            f"and watch on {self._resource.plural} of API group {GROUP}. The API server says: {error}"
        )

    def _say(self, state: str, detail: str) -> None:
        """Notes a state and logs it once, when it changes."""
        if state != self._status.state:
            level = logging.INFO if state in ("starting", "listed", "watching") else logging.WARNING
            log.log(level, "%s %s: %s %s", self._resource.plural, self._namespace or "", state, detail)
        self._status.state, self._status.detail = state, detail


def _resource_version(item: Mapping[str, object]) -> str:
    return str(mapping(item.get("metadata")).get("resourceVersion", ""))


def _fail(status: Mapping[str, object]) -> NoReturn:
    code = status.get("code")
    message = str(status.get("message", "the watch reports an error"))
    raise ApiError(message, code if isinstance(code, int) else 0)


def _is_known(known: _Known, version: ServiceVersion, mark_us: int | None) -> bool:
    """Whether a version from the store already says what we see now, so that a restart adds none."""
    if known.fingerprint is not None or not known.last.says_the_same(version):
        return False
    return known.last.resource_version == version.resource_version or mark_us is None or mark_us <= known.last.since_us
