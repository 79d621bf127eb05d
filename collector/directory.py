"""The directory of services: builds the catalogue's source (watch, file or none), its keeper and its store, and runs them.

None of it is on the way of the data: the pipeline asks the catalogue, which answers from memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.clock import Clock
from collector.enrich.api import connect_with
from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import VersionKeeper
from collector.enrich.selection import Rules, Selection
from collector.enrich.sql import SqlVersionStore
from collector.enrich.static import StaticServices
from collector.enrich.status import WatchStatus
from collector.enrich.view import services_view, versions_view, watch_view
from collector.enrich.watch import Watch
from collector.errors import MeshscribeError
from collector.health import Component
from collector.settings import Services
from collector.sinks.schema import service_versions

log = logging.getLogger("meshscribe.services")


class Source(Protocol):
    """A watch or a file."""

    async def run(self) -> None: ...
    async def stop(self) -> None: ...
    def status(self) -> WatchStatus: ...


class Directory:
    """`catalogue` answers at once; `run` keeps it up to date."""

    def __init__(self, settings: Services, engine: AsyncEngine | None, clock: Clock) -> None:
        """Without an engine (no SQL store) nothing is kept over a restart. Raises SettingsError for wrong rules."""
        self.catalogue = Catalogue(settings.history)
        self._settings, self._clock = settings, clock
        self._selection = Selection(
            Rules.parse(settings.annotations),
            Rules.parse(settings.labels),
            settings.hash_key.get_secret_value().encode() if settings.hash_key else b"",
            max_total_bytes=settings.max_bytes,
        )
        store = SqlVersionStore(engine, service_versions, clock) if engine is not None else None
        self._keeper = VersionKeeper(self.catalogue, store, clock=clock) if store is not None else None
        self._source: Source | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads what is known from the store, then starts the source."""
        if self._keeper is not None:
            try:
                log.info("%d versions of services known from the store", await self._keeper.load())
            except MeshscribeError as error:
                log.warning("the store does not tell its versions of services now: %s", error)
        self._source = self._made()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends the source and saves what waits."""
        if self._source is not None:
            await self._source.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._keeper is not None:
            try:
                await self._keeper.flush()
            except MeshscribeError as error:
                log.warning("versions of services not saved: %s", error)

    def status(self) -> WatchStatus | None:
        """How the source fares; None where there is none."""
        return self._source.status() if self._source is not None else None

    def services(self, namespace: str | None, behind: tuple[str, str, str], limit: int | None) -> list[dict[str, Any]]:
        """See collector.audit.services.Known."""
        return services_view(self.catalogue, frozenset((namespace,)) if namespace is not None else None, behind, limit)

    def versions(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """See collector.audit.services.Known."""
        return versions_view(self.catalogue, namespace, name)

    def watch(self) -> dict[str, Any] | None:
        """See collector.audit.services.Known."""
        status = self.status()
        return watch_view(status, self._clock.now_us()) if status is not None else None

    def component(self) -> Component:
        """For readiness: a dead watch fails it, a silent API server does not, because the catalogue still answers."""
        known = len(self.catalogue.services())
        status = self.status()
        if status is None:
            return Component("services", True, f"{known} known; no source is set (services.source)")
        alive = status.alive and (self._task is None or not self._task.done())
        detail = f"{known} known" + ("" if status.synced else "; not listed yet") + (f"; {status.detail}" if status.detail else "")
        return Component("services", alive, detail)

    def _made(self) -> Source | None:
        take = self._keeper.take if self._keeper is not None else self.catalogue.apply
        settings, known = self._settings, self.catalogue.services()
        kind = settings.source
        if kind == "auto":
            kind = "file" if settings.file else "cluster" if "KUBERNETES_SERVICE_HOST" in os.environ else "none"
        if kind == "none":
            return None
        if kind == "file" and settings.file is not None:
            return StaticServices(settings.file, take, _synced, selection=self._selection, known=known, clock=self._clock)
        path = str(settings.kubeconfig) if settings.kubeconfig else None
        connect = connect_with(path, settings.context, in_cluster=kind == "cluster")
        return Watch(connect, take, _synced, namespaces=settings.namespaces, selection=self._selection, known=known, clock=self._clock)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._source is not None:
                group.create_task(self._source.run())
            if self._keeper is not None:
                group.create_task(self._keeper.run())
                group.create_task(self._refresh(self._keeper))

    async def _refresh(self, keeper: VersionKeeper) -> None:
        """Takes in what other collectors saved."""
        while True:
            await asyncio.sleep(self._settings.refresh_seconds)
            try:
                await keeper.refresh()
            except MeshscribeError as error:
                log.debug("versions of services not refreshed: %s", error)


def _synced() -> None:
    log.info("the services are listed")
