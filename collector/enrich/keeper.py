"""Takes versions into the catalogue and keeps them in the store, so that a restart without Kubernetes still answers.

Guarantees: the catalogue has a version before the store does, and a slow or dead store holds up nothing: versions
wait in memory up to a bound, and what is dropped at the bound is counted (the next list brings the newest state
back).
"""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from collector.clock import Clock
from collector.enrich.catalogue import Catalogue
from collector.enrich.selection import Selection
from collector.enrich.store import VersionStore
from collector.enrich.version import ServiceVersion
from collector.errors import PermanentError, RetryableError
from collector.retry import Backoff, until_it_works

BATCH = 500
log = logging.getLogger(__name__)


@dataclass(slots=True)
class KeeperStatus:
    """How saving fares: versions saved, waiting, dropped (bound reached, or refused by the store), failed tries, and versions pruned."""

    saved: int = 0
    waiting: int = 0
    dropped: int = 0
    failures: int = 0
    pruned: int = 0
    detail: str = ""


class VersionKeeper:
    """Between a source of versions (watch, file), the catalogue and the store."""

    def __init__(
        self,
        catalogue: Catalogue,
        store: VersionStore,
        clock: Clock,
        *,
        selection: Selection | None = None,
        max_waiting: int = 100_000,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """At most ``max_waiting`` versions wait for the store. ``selection``: what may be taken from it; None: all that it holds."""
        self._catalogue = catalogue
        self._store = store
        self._clock = clock
        self._narrowed = selection.narrowed if selection is not None else _as_it_is
        self._waiting: deque[ServiceVersion] = deque()
        self._max_waiting = max_waiting
        self._woken = asyncio.Event()
        self._backoff = Backoff(0.25, 8.0, random)
        self._status = KeeperStatus()
        self._size = BATCH  # smaller while a batch is searched for the version that the store refuses

    def status(self) -> KeeperStatus:
        """A copy of the figures, taken now."""
        return replace(self._status, waiting=len(self._waiting))

    async def load(self) -> int:
        """Fills the catalogue from the store; how many versions were new. Raises what the store raises."""
        return self._taken(await self._store.load())

    async def refresh(self) -> int:
        """Takes in what other collectors have saved since the last `load` or `refresh`."""
        return self._taken(await self._store.news())

    def _taken(self, versions: Iterable[ServiceVersion]) -> int:
        return sum(self._catalogue.apply(self._narrowed(version)) for version in versions)

    async def prune(self, before_us: int, history: int) -> int:
        """Drops what is superseded from the store (see store.superseded). How many. Raises what the store raises."""
        pruned = await self._store.prune(before_us, history)
        self._status.pruned += pruned
        return pruned

    async def close(self) -> None:
        """Closes the store."""
        await self._store.close()

    def take(self, version: ServiceVersion) -> None:
        """For a source's ``on_version``: into the catalogue now, into the store soon."""
        if not self._catalogue.apply(version):
            return
        if len(self._waiting) >= self._max_waiting:
            self._waiting.popleft()
            self._status.dropped += 1
        self._waiting.append(version)
        self._woken.set()

    async def run(self) -> None:
        """Saves what waits, as it comes, until it is cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                await until_it_works(self._save_batch, self._backoff, self._clock.sleep, self._failed, RetryableError)

    def _failed(self, error: RetryableError) -> None:
        self._status.failures += 1
        self._note(f"versions of services are not saved: {error}")

    async def flush(self) -> None:
        """Saves all that waits. Raises what the store raises; what is not saved still waits."""
        while self._waiting:
            await self._save_batch()

    async def _save_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        try:
            await self._store.save(batch)
        except PermanentError as error:
            if len(batch) > 1:
                self._waiting.extendleft(reversed(batch))
                self._size = len(batch) // 2
                return
            self._status.dropped += 1
            self._note(f"the store refused a version of {batch[0].namespace}/{batch[0].name}: {error}")
            self._size = BATCH
            return
        except BaseException:
            # Cancelled or to be tried again: they are still first in the row.
            self._waiting.extendleft(reversed(batch))
            raise
        self._size = min(2 * self._size, BATCH)
        self._status.saved += len(batch)
        self._status.detail = ""

    def _note(self, detail: str) -> None:
        if not self._status.detail:
            log.warning(detail)
        self._status.detail = detail


def _as_it_is(version: ServiceVersion) -> ServiceVersion:
    return version
