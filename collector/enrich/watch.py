"""The watch of all services: one `Reflector` for each kind and namespace, supervised.

Guarantees: `Watch.run` ends only by `Watch.stop` or cancellation and leaves nothing open; a loop that dies of our own
error is said, counted and started again. Versions go to ``on_version`` (the catalogue), the first complete view to
``on_synced``.
"""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections.abc import Callable, Iterable

from collector.clock import Clock, SystemClock
from collector.enrich.api import Api, Connect, Timings
from collector.enrich.reflector import RESOURCES, Reflector, Resource
from collector.enrich.selection import Selection
from collector.enrich.status import WatchStatus
from collector.enrich.version import ServiceVersion
from collector.retry import Backoff

log = logging.getLogger(__name__)


def _nothing() -> None:
    return None


class Watch:
    """Watches InferenceServices and LLMInferenceServices, cluster-wide or in the namespaces listed."""

    def __init__(
        self,
        connect: Connect,
        on_version: Callable[[ServiceVersion], object],
        on_synced: Callable[[], object] = _nothing,
        *,
        namespaces: Iterable[str] = (),
        resources: Iterable[Resource] = RESOURCES,
        selection: Selection | None = None,
        known: Iterable[ServiceVersion] = (),
        clock: Clock | None = None,
        random: Callable[[], float] = random_module.random,
        timings: Timings | None = None,
    ) -> None:
        """``known``: the versions in force that the catalogue had from the store (`Catalogue.services`)."""
        self._timings = timings or Timings()
        self._random = random
        self._on_synced = on_synced
        self._api = Api(connect, self._timings)
        self._tasks: dict[asyncio.Task[None], tuple[Reflector, Backoff]] = {}
        self._running = False
        self._stopping = asyncio.Event()
        known = list(known)
        scopes: list[str | None] = [*dict.fromkeys(namespaces)]
        self._reflectors = [
            Reflector(
                resource,
                namespace,
                self._api,
                on_version,
                self._one_synced,
                selection=selection or Selection(),
                known=known,
                clock=clock or SystemClock(),
                random=random,
                timings=self._timings,
            )
            for resource in resources
            for namespace in scopes or [None]
        ]
        self._unsynced = len(self._reflectors)

    def _one_synced(self) -> None:
        self._unsynced -= 1
        if not self._unsynced:
            self._on_synced()

    async def run(self) -> None:
        """Watches until `stop` is called or the task is cancelled."""
        self._running = True
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            for reflector in self._reflectors:
                self._start(reflector, Backoff(self._timings.backoff_first_s, self._timings.backoff_cap_s, self._random))
            while not self._stopping.is_set():
                await asyncio.wait({stopping, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in self._tasks if task.done()]:
                    self._buried(task)
        finally:
            self._running = False
            await _end({stopping, *self._tasks})
            await self._api.close()

    def _start(self, reflector: Reflector, backoff: Backoff, wait_s: float = 0.0) -> None:
        self._tasks[asyncio.create_task(_after(wait_s, reflector))] = (reflector, backoff)

    def _buried(self, task: asyncio.Task[None]) -> None:
        """Says why a loop died and starts it again."""
        reflector, backoff = self._tasks.pop(task)
        error = None if task.cancelled() else task.exception()
        log.error("the watch of services died and starts again", exc_info=error)
        reflector.crashed(f"the watch died of {type(error).__name__}: {error}; it starts again")
        self._start(reflector, backoff, backoff.next_s())

    async def stop(self) -> None:
        """Ends `run`, which closes every connection."""
        self._stopping.set()

    def status(self) -> WatchStatus:
        """The figures for readiness, metrics and logs."""
        each = tuple(reflector.status() for reflector in self._reflectors)
        heard = [status.last_heard_us for status in each]
        details = [status.detail for status in each if status.detail]
        return WatchStatus(
            alive=self._running and all(status.state != "dead" for status in each),
            synced=not self._unsynced,
            detail="; ".join(details if self._running else ["the watch of services does not run", *details]),
            last_heard_us=min((h for h in heard if h is not None), default=None),
            requests=self._api.requests,
            reflectors=each,
        )


async def _after(wait_s: float, reflector: Reflector) -> None:
    await asyncio.sleep(wait_s)
    await reflector.run()


async def _end(tasks: set[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
