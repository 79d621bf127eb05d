"""The directory of services: builds the catalogue's source (watch, file, another store or none) and its keeper, and runs them.

None of it is on the way of the data: the pipeline asks the catalogue, which answers from memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.clock import Clock, HeldClock
from collector.enrich.api import connect_with
from collector.enrich.catalogue import Catalogue
from collector.enrich.following import Following
from collector.enrich.kafka import KafkaVersionStore
from collector.enrich.keeper import KeeperStatus, VersionKeeper
from collector.enrich.selection import Rules, Selection
from collector.enrich.sql import SqlVersionStore
from collector.enrich.static import StaticServices
from collector.enrich.status import Freshness, WatchStatus
from collector.enrich.store import VersionStore
from collector.enrich.view import services_view, versions_view, watch_view
from collector.enrich.watch import Watch
from collector.errors import MeshscribeError
from collector.health import Component
from collector.messages.service import KnownService
from collector.settings import Kafka, Services
from collector.store.schema import service_versions
from collector.tasks import cancel

log = logging.getLogger("meshscribe.services")

PRUNE_SECONDS = 3600.0
HOLD_US = 86_400_000_000  # that a clock must have stood ahead before anything is deleted by it
DAY_US = 86_400_000_000


class Source(Protocol):
    """A watch or a file."""

    async def run(self) -> None: ...
    async def stop(self) -> None: ...
    def status(self) -> WatchStatus: ...


class Directory:
    """`catalogue` answers at once; `run` keeps it up to date."""

    def __init__(
        self,
        settings: Services,
        store: VersionStore | None,
        clock: Clock,
        *,
        retention_days: int | None = None,
        follows: VersionStore | None = None,
        prunes: bool = True,
    ) -> None:
        """Without a store nothing is kept over a restart, nor shared. `retention_days`: how long exchanges are kept. `follows`: versions
        come from this store in place of what the settings say. `prunes`: False for one who only reads the store. Raises SettingsError for
        wrong rules.
        """
        self.catalogue = Catalogue(settings.history)
        self._settings, self._clock, self._follows, self._prunes = settings, clock, follows, prunes
        self._pruning = HeldClock(clock, HOLD_US)
        self._keep_us = max(settings.history_days, retention_days or 0) * DAY_US
        self._selection = selection_of(settings)
        # What is only passed on stays as it is: whoever reads it for records or people narrows it to what is allowed now.
        narrows = self._selection if follows is None else None
        self._keeper = VersionKeeper(self.catalogue, store, clock, selection=narrows) if store is not None else None
        self._loaded, self._unread = self._keeper is None, ""
        self._source: Source | None = None
        self._sourcing: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads what is known from the store, then starts the source. Raises BadInputError: the services file cannot be read."""
        if self._keeper is not None:
            await self._load(self._keeper)
        self._source = self._made()
        if isinstance(self._source, StaticServices):
            self._source.read()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends the source and saves what waits."""
        if self._source is not None:
            await self._source.stop()
        if self._task is not None:
            await cancel(self._task)
        if self._keeper is not None:
            try:
                await self._keeper.flush()
            except MeshscribeError as error:
                log.warning("versions of services not saved: %s", error)
            await self._keeper.close()
        if self._follows is not None:
            await self._follows.close()

    async def prune(self) -> None:
        """Drops, in memory and in the store, what no exchange that is still kept can have met."""
        before_us = self._pruning.now_us() - self._keep_us
        self.catalogue.forget(before_us)
        if self._keeper is not None and self._prunes:
            try:
                pruned = await self._keeper.prune(before_us, self._settings.history)
            except MeshscribeError as error:
                log.warning("old versions of services could not be deleted now: %s", error)
            else:
                log.log(
                    logging.INFO if pruned else logging.DEBUG, "%d versions of services deleted, which nothing can meet any more", pruned
                )

    def status(self) -> WatchStatus | None:
        """How the source fares; None where there is none."""
        return self._source.status() if self._source is not None else None

    def kept(self) -> KeeperStatus | None:
        """How saving fares; None where nothing is kept."""
        return self._keeper.status() if self._keeper is not None else None

    def services(self, namespace: str | None, behind: tuple[str, str, str], limit: int | None) -> list[KnownService]:
        """See collector.audit.services.Known."""
        return services_view(self.catalogue, frozenset((namespace,)) if namespace is not None else None, behind, limit)

    def versions(self, namespace: str, name: str) -> list[KnownService]:
        """See collector.audit.services.Known."""
        return versions_view(self.catalogue, namespace, name)

    def watch(self) -> Freshness | None:
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
        kept = self.kept()
        told = [f"{known} known", "" if status.synced else "not listed yet", status.detail, self._unread, kept.detail if kept else ""]
        return Component("services", alive, "; ".join(part for part in told if part))

    def _made(self) -> Source | None:
        take = self._keeper.take if self._keeper is not None else self.catalogue.apply
        settings, known = self._settings, self.catalogue.services()
        if self._follows is not None:
            return Following(self._follows, take, _synced, clock=self._clock, interval_s=settings.refresh_seconds)
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
            self._begin(group)
            group.create_task(self._prune_often())
            if self._keeper is not None:
                group.create_task(self._keeper.run())
                group.create_task(self._refresh(self._keeper, group))

    def _begin(self, group: asyncio.TaskGroup) -> None:
        self._sourcing = group.create_task(self._source.run()) if self._source is not None else None

    async def _load(self, keeper: VersionKeeper) -> None:
        try:
            log.info("%d versions of services known from the store", await keeper.load())
        except MeshscribeError as error:
            if str(error) not in self._unread:
                log.warning("the store does not tell its versions of services now: %s", error)
            self._unread = f"the store's versions are not read yet: {error}"
        else:
            self._loaded, self._unread = True, ""

    async def _refresh(self, keeper: VersionKeeper, group: asyncio.TaskGroup) -> None:
        """Takes in what other collectors saved."""
        while True:
            await self._clock.sleep(self._settings.refresh_seconds)
            if not self._loaded:
                await self._load(keeper)
                if self._loaded:
                    await self._begin_again(group)
                continue
            try:
                await keeper.refresh()
            except MeshscribeError as error:
                log.debug("versions of services not refreshed: %s", error)

    async def _begin_again(self, group: asyncio.TaskGroup) -> None:
        """The source has to know what the store held, to see which of it has ended meanwhile."""
        if self._sourcing is None or self._source is None:
            return
        await cancel(self._sourcing)
        self._source = self._made()
        self._begin(group)

    async def _prune_often(self) -> None:
        while True:
            await self.prune()
            await self._clock.sleep(PRUNE_SECONDS)


def open_versions(kafka: Kafka, engine: AsyncEngine | None, clock: Clock) -> VersionStore:
    """Where versions are kept and shared: in the SQL store, or, of a process without one, in a compacted topic."""
    return SqlVersionStore(engine, service_versions, clock) if engine is not None else KafkaVersionStore(kafka)


def selection_of(settings: Services) -> Selection:
    """What of a service may be copied. Raises SettingsError."""
    return Selection(
        Rules.parse(settings.annotations),
        Rules.parse(settings.labels),
        settings.hash_key.get_secret_value().encode() if settings.hash_key else b"",
        max_total_bytes=settings.max_bytes,
    )


def _synced() -> None:
    log.info("the services are listed")
