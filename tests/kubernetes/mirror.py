"""A watch with its catalogue, as the collector runs it, with conditions to wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from collector.enrich.api import Timings, connect_with
from collector.enrich.catalogue import Catalogue
from collector.enrich.selection import Rules, Selection
from collector.enrich.version import ServiceVersion
from collector.enrich.watch import Watch

# Short limits, so that a half-open socket is noticed in a test's time. On a real server bookmarks come once a minute:
# an idle watch then runs into the limit and resumes, which is harmless.
TIMINGS = Timings(
    connect_s=2.0,
    list_s=20.0,
    idle_s=2.0,
    watch_s=(20, 40),
    backoff_first_s=0.02,
    backoff_cap_s=0.5,
    short_watch_s=0.2,
)
ALL = Selection(annotations=Rules.parse(["*"]), labels=Rules.parse(["*"]))
LONGEST_S = 60


def now_us() -> int:
    return time.time_ns() // 1000


class Mirror:
    """``async with Mirror(kubeconfig) as mirror``: watches until the block ends, and checks that it ended cleanly."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        selection: Selection = ALL,
        known: Iterable[ServiceVersion] = (),
        timings: Timings = TIMINGS,
        namespaces: Iterable[str] = (),
        on_version: Callable[[ServiceVersion], object] | None = None,
    ) -> None:
        self.catalogue = Catalogue()
        for version in known:
            self.catalogue.apply(version)
        self.applied: list[ServiceVersion] = []
        self.synced = 0
        self._hook = on_version
        self.watch = Watch(
            connect_with(str(kubeconfig)),
            self._take,
            self._on_synced,
            namespaces=namespaces,
            selection=selection,
            known=self.catalogue.services(),
            timings=timings,
        )

    def _take(self, version: ServiceVersion) -> None:
        if self._hook is not None:
            self._hook(version)
        self.catalogue.apply(version)
        self.applied.append(version)

    def _on_synced(self) -> None:
        self.synced += 1

    async def __aenter__(self) -> Mirror:
        self._task = asyncio.create_task(self.watch.run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.watch.stop()
        async with asyncio.timeout(5):
            await self._task

    async def until(self, condition: Callable[[], Any], what: str = "the condition") -> None:
        """Waits for a condition of this process. Fails with the watch's own words."""
        try:
            async with asyncio.timeout(LONGEST_S):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{what} never came; {self.watch.status()}") from None

    async def ready(self) -> Mirror:
        await self.until(lambda: self.watch.status().synced, "the first list")
        return self

    async def watching(self) -> None:
        """Waits until the watch of InferenceServices is open."""
        await self.until(lambda: self.watch.status().reflectors[0].state == "watching", "an open watch")

    async def agrees(self, services: Callable[[], Any]) -> None:
        """Waits until the catalogue holds what the server lists: uids and annotations, no more and no less."""

        async def compare() -> bool:
            listed = await services()
            theirs = {k: (o["metadata"]["uid"], o["metadata"].get("annotations") or {}) for k, o in listed.items()}
            return theirs == self.state()

        try:
            async with asyncio.timeout(LONGEST_S):
                while not await compare():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"catalogue and server never agreed; {self.watch.status()}") from None

    def state(self) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
        kept = self.catalogue.services()
        return {(v.namespace, v.name): (v.uid, dict(v.annotations)) for v in kept if v.kind == "InferenceService"}

    def annotations(self, namespace: str, name: str, time_us: int | None = None) -> dict[str, str] | None:
        version = self.catalogue.as_of(namespace, name, now_us() if time_us is None else time_us)
        return None if version is None else dict(version.annotations)
