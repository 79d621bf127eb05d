"""Commits places again once a day: brokers forget a group's offsets seven days after its last commit (`offsets.retention.minutes`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from collector.errors import MeshscribeError
from collector.tasks import cancel

log = logging.getLogger("meshscribe.kafka")

EVERY_SECONDS = 86_400.0


class Keeper:
    """Calls `keep` once a day from the first `start` on, until `stop`. What fails is tried again the next day: there are seven."""

    def __init__(self, keep: Callable[[], Awaitable[None]]) -> None:
        self._keep = keep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Once is enough; may be repeated. To be called in the event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await cancel(task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self._keep()
            except MeshscribeError as error:
                log.warning("places could not be committed again, which is tried once more tomorrow: %s", error)
