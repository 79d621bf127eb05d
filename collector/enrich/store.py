"""Where versions of services outlive the process, and where several collectors share them.

`SqlVersionStore` (`sql`) and `KafkaVersionStore` (`kafka`, a compacted topic) implement `VersionStore`; `MemoryVersionStore` is the
reference for their behaviour. `VersionKeeper` (`keeper`) writes to a store and reads it at the start.

Both keep a version as JSON beside its identity: what a newer program added and what an older one left out is absent; nothing else is lost
with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol, TypedDict, Unpack

import orjson

from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion
from collector.errors import DamagedError

Identity = tuple[str, str, bool]


class Named(TypedDict):
    """What a store keeps of a `ServiceVersion` beside its data."""

    namespace: str
    name: str
    kind: str
    uid: str
    resource_version: str
    deleted: bool
    since_us: int


class VersionStore(Protocol):
    """Durable versions. Errors are `RetryableError` or `PermanentError`, decided where they are raised."""

    async def load(self) -> Sequence[ServiceVersion]:
        """All versions. Of one with the same identity there may be several: the earliest ``since_us`` and the content of the last count."""
        ...

    async def news(self) -> Sequence[ServiceVersion]:
        """What was saved, by whomever, since this object last gave anything (`load` or `news`); some of it may come twice."""
        ...

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """Durable when it returns; where it raises, some may be stored, and saving all of them again is right. The same (uid, resource
        version, deleted) again keeps the earlier ``since_us`` and the newer content."""
        ...

    async def prune(self, before_us: int, history: int) -> int:
        """Drops what is `superseded`. Returns how many versions."""
        ...

    async def close(self) -> None:
        """Closes what the store opened itself."""
        ...


def identity(version: ServiceVersion) -> Identity:
    """What names a version among all."""
    return version.uid, version.resource_version, version.deleted


def superseded(versions: Iterable[ServiceVersion], before_us: int, history: int) -> set[Identity]:
    """Versions that no exchange from ``before_us`` on can meet (replaced, or their service ended before then), and of each (namespace,
    name, kind) all but the newest ``history``. The newest version of a service that has not ended is never among them.
    """
    versions = list(versions)
    catalogue = Catalogue(history=history, services=len(versions) + 1)
    for version in versions:
        catalogue.apply(version)
    catalogue.forget(before_us)
    return {identity(version) for version in versions} - {identity(version) for version in catalogue.all()}


class MemoryVersionStore:
    """Keeps the versions in memory, for tests and for comparison."""

    def __init__(self, beside: MemoryVersionStore | None = None) -> None:
        """``beside``: another store whose versions this one shares."""
        self._rows: dict[Identity, tuple[int, ServiceVersion]] = beside._rows if beside is not None else {}
        self._numbers: Iterator[int] = beside._numbers if beside is not None else count(1)
        self._given = 0

    async def load(self) -> list[ServiceVersion]:
        """See `VersionStore.load`."""
        self._given = 0
        return await self.news()

    async def news(self) -> list[ServiceVersion]:
        """See `VersionStore.news`."""
        new = [(number, version) for number, version in self._rows.values() if number > self._given]
        self._given = max((number for number, _ in new), default=self._given)
        return [version for _, version in new]

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """See `VersionStore.save`."""
        for version in versions:
            known = self._rows.get(identity(version))
            merged = _earlier(version, known[1]) if known else version
            if known is None or merged != known[1]:
                self._rows[identity(version)] = (next(self._numbers), merged)

    async def prune(self, before_us: int, history: int) -> int:
        """See `VersionStore.prune`."""
        dropped = superseded((version for _, version in self._rows.values()), before_us, history)
        for key in dropped:
            del self._rows[key]
        return len(dropped)

    async def close(self) -> None:
        """See `VersionStore.close`."""


def _earlier(version: ServiceVersion, known: ServiceVersion) -> ServiceVersion:
    return replace(version, since_us=min(version.since_us, known.since_us))


def data_of(version: ServiceVersion) -> bytes:
    """All but the identity (namespace, name, kind, uid, resource version, deleted) and the times, as JSON."""
    data = {
        "generation": version.generation,
        "annotations": dict(version.annotations),
        "labels": dict(version.labels),
        "model": dict(version.model),
        "metadata_annotations": list(version.metadata_annotations),
        "metadata_headers": list(version.metadata_headers),
        "logger_mode": version.logger_mode,
    }
    return orjson.dumps(data)


def version_from(data: bytes, generation: int | None = None, **named: Unpack[Named]) -> ServiceVersion:
    """The version of `data_of`; ``named`` are the other fields of `ServiceVersion`. Raises `DamagedError`."""
    try:
        told = orjson.loads(data)
        return ServiceVersion(
            generation=told.get("generation", 0) if generation is None else generation,
            annotations=told["annotations"],
            labels=told["labels"],
            model=told["model"],
            metadata_annotations=tuple(told.get("metadata_annotations", ())),
            metadata_headers=tuple(told["metadata_headers"]),
            logger_mode=told["logger_mode"],
            **named,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"a stored version of {named['namespace']}/{named['name']} cannot be read: {error!r}") from error
