"""Where versions of services outlive the process, and where several collectors share them.

The SQL store implements `VersionStore`; `MemoryVersionStore` is the reference for its behaviour and serves where
nothing is to be kept. `VersionKeeper` (`keeper`) writes to it and reads it at the start.

Columns of a table: ``namespace``, ``name``, ``kind``, ``uid``, ``resource_version`` text; ``generation``, ``since_us``
64-bit integers; ``deleted`` boolean; ``annotations``, ``labels``, ``model``, ``metadata_headers`` JSON;
``logger_mode`` text or null; ``saved_us`` 64-bit integer, the store's own clock at the last write of the row. Primary
key (``uid``, ``resource_version``, ``deleted``); indexes on ``saved_us`` and on (``namespace``, ``name``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from collector.clock import Clock
from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion


class VersionStore(Protocol):
    """Durable versions. Errors are `RetryableError` or `PermanentError`, decided where they are raised."""

    async def load(self, saved_since_us: int = 0) -> Iterable[ServiceVersion]:
        """All versions, in any order; or those written at or after ``saved_since_us`` by the store's own clock."""
        ...

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """Stores all or none. The same (uid, resource version, deleted) again keeps the earlier ``since_us`` and the
        newer content."""
        ...

    async def prune(self, before_us: int, history: int) -> int:
        """Drops versions replaced and services ended before ``before_us``, and of each (namespace, name, kind) all but
        the newest ``history`` ones. Returns how many."""
        ...


class MemoryVersionStore:
    """Keeps the versions in memory, in the form of a catalogue: the same rules for repeats and for what is
    superseded.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[tuple[str, str, bool], tuple[int, ServiceVersion]] = {}

    async def load(self, saved_since_us: int = 0) -> list[ServiceVersion]:
        """See `VersionStore.load`."""
        return [version for saved_us, version in self._rows.values() if saved_us >= saved_since_us]

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """See `VersionStore.save`."""
        for version in versions:
            known = self._rows.get(_key(version))
            merged = _earlier(version, known[1]) if known else version
            if known is None or merged != known[1]:
                self._rows[_key(version)] = (self._clock.now_us(), merged)

    async def prune(self, before_us: int, history: int) -> int:
        """See `VersionStore.prune`."""
        catalogue = Catalogue(history=history, services=len(self._rows) + 1)
        for _, version in self._rows.values():
            catalogue.apply(version)
        catalogue.forget(before_us)
        names = {(version.namespace, version.name) for _, version in self._rows.values()}
        kept = {_key(version) for name in names for version in catalogue.versions(*name)}
        dropped = self._rows.keys() - kept
        for key in dropped:
            del self._rows[key]
        return len(dropped)


def _key(version: ServiceVersion) -> tuple[str, str, bool]:
    return version.uid, version.resource_version, version.deleted


def _earlier(version: ServiceVersion, known: ServiceVersion) -> ServiceVersion:
    return replace(version, since_us=min(version.since_us, known.since_us))
