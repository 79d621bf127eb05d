"""Every version of every service, by the time at which it came into force. Pure: no I/O, no clock.

Guarantees: versions may be applied in any order and more than once; `Catalogue.as_of` answers the same as long as no
bound was reached. Memory is bounded by ``history`` versions a service and ``services`` names. Filled by the watch, a
file or the store; asked by `attach` for each exchange.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import replace
from sys import intern

from collector.enrich.version import INFERENCE_SERVICE, ServiceVersion

SECOND_US = 1_000_000
_INTERNED_LENGTH = 64
_NOTHING = ServiceVersion("", "", "", "", "", 0, 0)


class Catalogue:
    """The versions of all services known, with look-up by time."""

    def __init__(self, history: int = 64, services: int = 50_000) -> None:
        """Keeps the newest ``history`` versions of a service, and at most ``services`` (namespace, name) pairs.

        At the second bound ended services go first, the longest ended ones before others; where none has ended the new
        one is refused and counted in `refused`.
        """
        self._history = history
        self._bound = services
        self._names: dict[tuple[str, str], dict[str, _Line]] = {}
        self.refused = 0

    def apply(self, version: ServiceVersion) -> bool:
        """Takes a version in. False: already known, older than what is kept, or refused.

        The same (uid, resource version) again keeps the earlier of both times and the newer content: several watchers
        see one change at slightly different moments, and an allow-list may have changed between two runs.
        """
        key = (version.namespace, version.name)
        kinds = self._names.get(key)
        if kinds is None:
            if len(self._names) >= self._bound and not self._make_room():
                self.refused += 1
                return False
            kinds = self._names[intern(version.namespace), intern(version.name)] = {}
        line = kinds.get(version.kind)
        if line is None:
            line = kinds[intern(version.kind)] = _Line()
        return line.add(version, self._history)

    def as_of(self, namespace: str, name: str, time_us: int, kind: str | None = None) -> ServiceVersion | None:
        """The version in force at ``time_us``; None before the first known one and after a deletion.

        Without ``kind`` an InferenceService is preferred to an LLMInferenceService of the same name.
        """
        kinds = self._names.get((namespace, name))
        if kinds is None:
            return None
        if kind is not None:
            line = kinds.get(kind)
            return None if line is None else line.as_of(time_us)
        for line in kinds.values() if len(kinds) == 1 else _preferred(kinds):
            found = line.as_of(time_us)
            if found is not None:
                return found
        return None

    def knows(self, namespace: str, name: str) -> bool:
        """Whether any version of such a service is kept, ended ones included."""
        return (namespace, name) in self._names

    def versions(self, namespace: str, name: str) -> list[ServiceVersion]:
        """All that is kept of a service, all kinds and uids, oldest first."""
        kinds = self._names.get((namespace, name), {})
        return sorted((version for line in kinds.values() for version in line.versions), key=_age)

    def services(self) -> list[ServiceVersion]:
        """The newest version of every service that has not ended, by namespace and name."""
        newest = (line.newest() for line in self._lines())
        return sorted((v for v in newest if not v.deleted), key=lambda v: (v.namespace, v.name, v.kind))

    def all(self) -> Iterator[ServiceVersion]:
        """Every version that is kept."""
        return (version for line in self._lines() for version in line.versions)

    def __len__(self) -> int:
        """How many versions are kept."""
        return sum(len(line.versions) for line in self._lines())

    def forget(self, before_us: int) -> int:
        """Drops what no exchange from ``before_us`` on can meet: versions replaced and services ended before then."""
        dropped = 0
        for key, kinds in list(self._names.items()):
            for kind, line in list(kinds.items()):
                dropped += line.forget(before_us)
                if not line.versions:
                    del kinds[kind]
            if not kinds:
                del self._names[key]
        return dropped

    def _lines(self) -> Iterator[_Line]:
        return (line for kinds in self._names.values() for line in kinds.values())

    def _make_room(self) -> bool:
        """Drops one ended service in sixteen, at least one, so that the search is rare."""
        newest = {key: max((line.newest() for line in kinds.values()), key=_age) for key, kinds in self._names.items()}
        ended = sorted((_age(version), key) for key, version in newest.items() if version.deleted)
        for _, key in ended[: -(-len(ended) // 16)]:
            del self._names[key]
        return bool(ended)


def _preferred(kinds: Mapping[str, _Line]) -> list[_Line]:
    return [kinds[kind] for kind in sorted(kinds, key=lambda kind: (kind != INFERENCE_SERVICE, kind))]


# Both orders tell any two versions of a line apart, so that they do not depend on which came first.
def _age(version: ServiceVersion) -> tuple[int, int, str, bool, str]:
    return version.since_us, version.order, version.uid, version.deleted, version.resource_version


def _identity(version: ServiceVersion) -> tuple[str, str, bool]:
    return version.resource_version, version.uid, version.deleted


class _Line:
    """The versions of one (namespace, name, kind): what was in force when is worked out at the first question."""

    __slots__ = ("_answers", "_starts", "versions")

    def __init__(self) -> None:
        self.versions: list[ServiceVersion] = []
        self._starts: list[int] | None = None
        self._answers: list[ServiceVersion] = []

    def add(self, version: ServiceVersion, history: int) -> bool:
        known = self._same(version)
        if known is not None:
            since_us = min(version.since_us, known.since_us)
            version = replace(version, since_us=since_us)
            if version == known:
                return False
            self.versions.remove(known)
        version = _share(version, self.versions[-1] if self.versions else None)
        insort(self.versions, version, key=_age)
        self._starts = None
        if len(self.versions) <= history:
            return True
        return self.versions.pop(0) is not version

    def _same(self, version: ServiceVersion) -> ServiceVersion | None:
        for known in reversed(self.versions):
            if _identity(known) == _identity(version):
                return known
        return None

    def as_of(self, time_us: int) -> ServiceVersion | None:
        starts = self._starts
        if starts is None:
            starts = self._arrange()
        place = bisect_right(starts, time_us)
        if not place:
            return None
        found = self._answers[place - 1]
        return None if found.deleted else found

    def newest(self) -> ServiceVersion:
        if self._starts is None:
            self._arrange()
        return self._answers[-1]

    def forget(self, before_us: int) -> int:
        starts = self._starts if self._starts is not None else self._arrange()
        first = max(bisect_right(starts, before_us) - 1, 0)
        if first < len(self._answers) and self._answers[first].deleted and starts[first] <= before_us:
            first += 1
        kept = {id(version) for version in self._answers[first:]}
        dropped = len(self.versions) - len(kept)
        if dropped:
            self.versions = [version for version in self.versions if id(version) in kept]
            self._starts = None
        return dropped

    def _arrange(self) -> list[int]:
        timeline = list(_timeline(self.versions))
        self._starts = [start for start, _ in timeline]
        self._answers = [version for _, version in timeline]
        return self._starts


def _timeline(versions: list[ServiceVersion]) -> Iterator[tuple[int, ServiceVersion]]:
    """(from when it counts, version), in order: a pure function of the set.

    The API server notes times to the second and the clocks of several watchers differ a little, so within one second the
    resource version says what is newer; beyond it time does, for a restored etcd counts from a lower version again. A
    version counts at the latest from when a newer one does; a uid ends where the next uid of its name begins.
    """
    lives: dict[str, list[ServiceVersion]] = {}
    for version in versions:
        lives.setdefault(version.uid, []).append(version)
    spans = sorted((_span(life) for life in lives.values()), key=_began)
    for index, span in enumerate(spans):
        end = spans[index + 1][0][0] if index + 1 < len(spans) else None
        yield from ((start, version) for start, version in span if end is None or start < end)


def _rank(version: ServiceVersion) -> tuple[int, int, int, bool, str]:
    return version.since_us // SECOND_US, version.order, version.since_us, version.deleted, version.resource_version


def _began(span: list[tuple[int, ServiceVersion]]) -> tuple[int, int, int, str]:
    start, first = span[0]
    return start // SECOND_US, first.order, start, first.uid


def _span(life: list[ServiceVersion]) -> list[tuple[int, ServiceVersion]]:
    ordered = sorted(life, key=_rank)
    span: list[tuple[int, ServiceVersion]] = []
    start = ordered[-1].since_us
    for version in reversed(ordered):
        start = min(start, version.since_us)
        span.append((start, version))
    return span[::-1]


def _share(version: ServiceVersion, neighbour: ServiceVersion | None) -> ServiceVersion:
    """The same version with its strings and mappings shared with others: most versions differ in one annotation."""
    near = neighbour if neighbour is not None and neighbour.uid == version.uid else _NOTHING
    headers, annotations = version.metadata_headers, version.metadata_annotations
    return replace(
        version,
        namespace=intern(version.namespace),
        name=intern(version.name),
        kind=intern(version.kind),
        uid=intern(version.uid),
        annotations=_shared(version.annotations, near.annotations),
        labels=_shared(version.labels, near.labels),
        metadata_annotations=near.metadata_annotations if near.metadata_annotations == annotations else annotations,
        metadata_headers=near.metadata_headers if near.metadata_headers == headers else headers,
        model=_shared(version.model, near.model),
    )


def _shared(entries: Mapping[str, str], near: Mapping[str, str]) -> Mapping[str, str]:
    if entries == near:
        return near
    return {intern(name): _short(value, near.get(name)) for name, value in entries.items()}


def _short(value: str, near: str | None) -> str:
    if value == near:
        return near
    return intern(value) if len(value) <= _INTERNED_LENGTH else value
