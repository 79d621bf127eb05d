"""What this process gave up since it started, and what lies with the dead letters: for /readyz and the metrics, from memory."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from collector.clock import SystemClock
from collector.complaints import Complaints
from collector.dead_letters import DeadLetters, Heap
from collector.health import Component
from collector.messages.times import timestamp

log = logging.getLogger("meshscribe.dead_letters")

NAME = "dead letters"
_SHOWN = 200  # characters of a reason


class Burials:
    """Counts by stage. What lies there is known from the last look; it is never a reason not to be ready, but it is said."""

    def __init__(self) -> None:
        self.stages = Counter[str]()
        self._reason = ""
        self._heaps: Sequence[Heap] | None = None
        self._complaints = Complaints(log, SystemClock())

    def count(self, stage: str, reason: str) -> None:
        """One more went there."""
        self.stages[stage] += 1
        self._reason = reason

    @property
    def total(self) -> int:
        """Since the start."""
        return self.stages.total()

    async def look(self, letters: DeadLetters, every_seconds: float) -> None:
        """Looks again and again, until it is cancelled: others add and drop letters too."""
        while True:
            try:
                self._heaps = await letters.heaps()
            except Exception as error:  # noqa: BLE001 - it is only a look, and the next one may succeed
                self._complaints.tell("look", f"the dead letters cannot be looked at: {error}", logging.WARNING)
            await asyncio.sleep(every_seconds)

    def component(self) -> Component:
        """How many there are, why the newest is, and how many were added since the start."""
        return Component(NAME, True, f"{self._there()}; {self._since_start()}" if self.total else self._there())

    def _since_start(self) -> str:
        stages = ", ".join(f"{stage} {number}" for stage, number in sorted(self.stages.items()))
        return f"{self.total} since the start ({stages}), the last: {self._reason[:_SHOWN]}"

    def _there(self) -> str:
        heaps = self._heaps
        if heaps is None:
            return "not looked at yet"
        if not heaps:
            return "none"
        newest = max(heaps, key=lambda heap: heap.newest_us)
        number = sum(heap.number for heap in heaps)
        return f"{number}, the newest of {timestamp(newest.newest_us)} by {newest.origin}: {newest.reason[:_SHOWN]}"
