"""Services from a YAML file, for use without Kubernetes: the same stream of versions as the watch gives.

Guarantees: a file that cannot be read at the start is an error that says what and where; later the versions read
before stay in force and `StaticServices.status` says what is wrong. A changed file takes effect as its modification
time says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from collector.clock import Clock, SystemClock
from collector.enrich.following import Polling
from collector.enrich.resource import KubernetesObject, changed_us, items, mapping, version_of
from collector.enrich.selection import Selection
from collector.enrich.version import INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, ServiceVersion
from collector.errors import BadInputError

KINDS = frozenset({INFERENCE_SERVICE, LLM_INFERENCE_SERVICE})
log = logging.getLogger(__name__)


def read_services(text: str, where: str, selection: Selection) -> list[ServiceVersion]:
    """The services in a YAML text: documents, lists of objects, and Kubernetes ``List`` objects, in any mix.

    Objects of other kinds are left out. A service without uid gets one made of its kind, namespace and name; without
    namespace it is in ``default``. A version counts from the object's own times, or from ever. Raises `BadInputError`.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise BadInputError(f"{where} is no YAML: {error}") from error
    places = ((document, f"{where}, document {number}") for number, document in enumerate(documents, 1))
    items = [item for document, place in places for item in _objects(document, place)]
    versions = [_version(item, place, selection) for item, place in items if item["kind"] in KINDS]
    _refuse_twice(versions, where)
    return versions


def _objects(document: object, where: str) -> Iterator[tuple[Mapping[str, object], str]]:
    if document is None:
        return
    if isinstance(document, list):
        for number, item in enumerate(document, 1):
            yield from _objects(item, f"{where}, item {number}")
    elif not isinstance(document, dict):
        found = str(document)[:80]
        raise BadInputError(f"{where}: an object with kind InferenceService is expected, this is {found!r}")
    elif str(document.get("kind", "")).endswith("List") or ("items" in document and "kind" not in document):
        yield from _objects(document.get("items") or [], where)
    elif not isinstance(document.get("kind"), str):
        raise BadInputError(f"{where}: kind is missing; write kind: InferenceService")
    else:
        yield document, where


def _version(item: KubernetesObject, where: str, selection: Selection) -> ServiceVersion:
    metadata = dict(mapping(item.get("metadata")))
    if not isinstance(metadata.get("name"), str):
        raise BadInputError(f"{where}: metadata.name is missing")
    namespace = metadata.setdefault("namespace", "default")
    metadata.setdefault("uid", f"static:{item['kind']}/{namespace}/{metadata['name']}")
    metadata.setdefault("resourceVersion", "1")
    for name in ("annotations", "labels"):
        # YAML reads 42 and true as no strings, which Kubernetes would refuse; here the meaning is plain.
        metadata[name] = {str(key): _plain(value) for key, value in mapping(metadata.get(name)).items()}
    since_us = changed_us(_with_text_times(metadata)) or 0
    return version_of({**item, "metadata": metadata}, str(item["kind"]), since_us, selection)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_text_times(metadata: KubernetesObject) -> dict[str, object]:
    """YAML reads unquoted times as such; `changed_us` wants Kubernetes' text."""
    entries = map(mapping, items(metadata.get("managedFields")))
    fields = [{**entry, "time": _iso(entry.get("time"))} for entry in entries]
    return {**metadata, "creationTimestamp": _iso(metadata.get("creationTimestamp")), "managedFields": fields}


def _iso(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _refuse_twice(versions: Iterable[ServiceVersion], where: str) -> None:
    seen: set[tuple[str, str, str]] = set()
    for version in versions:
        key = (version.kind, version.namespace, version.name)
        if key in seen:
            raise BadInputError(f"{where}: {version.kind} {version.namespace}/{version.name} is there twice; keep one")
        seen.add(key)


class StaticServices(Polling):
    """Reads the file at the start and whenever it changes; the interface of `watch.Watch`."""

    def __init__(
        self,
        path: Path,
        on_version: Callable[[ServiceVersion], object],
        on_synced: Callable[[], object],
        *,
        selection: Selection | None = None,
        known: Iterable[ServiceVersion] = (),
        clock: Clock | None = None,
        interval_s: float = 1.0,
    ) -> None:
        """``known``: the versions in force as of the last run (`Catalogue.services`)."""
        super().__init__("file", interval_s, "the services file is not being read")
        self._path = path
        self._on_version = on_version
        self._on_synced = on_synced
        self._selection = selection or Selection()
        self._known = {version.uid: version for version in known}
        self._clock = clock or SystemClock()
        self._read_ns = -1

    async def run(self) -> None:
        """Reads, then looks for changes until `stop` or cancellation. Raises `BadInputError` if the first reading
        fails.
        """
        self._running = True
        try:
            self.read()
            self._status.synced = True
            self._on_synced()
            while not self._stopping.is_set():
                await self._wait()
                self._read_again()
        finally:
            self._running = False

    def _read_again(self) -> None:
        try:
            self.read()
            self._status.detail = ""
        except BadInputError as error:
            self._status.errors += 1
            if self._status.detail != str(error):
                log.error("%s; what was read before stays in force", error)
            self._status.detail = str(error)

    def read(self) -> None:
        """Takes the file in if it has changed. Raises `BadInputError`."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns == self._read_ns:
                return
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"cannot read the services file {self._path}: {error}") from error
        versions = read_services(text, str(self._path), self._selection)
        self._read_ns = changed_ns
        self._status.lists += 1
        self._status.last_heard_us = self._clock.now_us()
        for version in versions:
            self._take(version, changed_ns // 1000)
        self._end_others({version.uid for version in versions}, changed_ns // 1000)
        self._status.objects = len(self._known)

    def _take(self, version: ServiceVersion, changed_us: int) -> None:
        known = self._known.get(version.uid)
        if known is not None:
            version = replace(version, since_us=known.since_us, resource_version=known.resource_version)
            if version == known:
                return
            since_us = max(changed_us, known.since_us)
            version = replace(version, since_us=since_us, resource_version=str(max(changed_us, known.order + 1)))
        self._known[version.uid] = version
        self._status.events += 1
        self._on_version(version)

    def _end_others(self, uids: set[str], changed_us: int) -> None:
        for uid in [uid for uid in self._known if uid not in uids]:
            known = self._known.pop(uid)
            order = max(changed_us, known.order + 1)
            self._on_version(known.tombstone(str(order), max(changed_us, known.since_us)))
