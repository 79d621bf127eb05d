"""Notices that the machine's clock was set: it and the monotonic clock have moved apart at once.

Nothing stops by it (clock.py, and all spans are measured on the monotonic clock); but what was received in between bears the
other date, and whoever reads records or the ledger has to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from collector.clock import TOLERANCE_US, Clock
from collector.complaints import Complaints

log = logging.getLogger("meshscribe.clock")

LOOK_SECONDS = 0.5
AHEAD, BACK = "ahead", "back"
_MEANS = {
    AHEAD: "received time follows when the clock has stood there for a minute; what came since bears the time before, and until then starts"
    " that proxies tell may be called suspect",
    BACK: "received time never goes back: if it had followed the clock, it goes on at half pace until the clock has caught up, and what"
    " comes meanwhile bears a date that is too late",
}


class Steps:
    """Looks twice a second. `count` is told the direction of each step."""

    def __init__(self, clock: Clock, count: Callable[[str], None] = lambda _: None) -> None:
        self._clock, self._count = clock, count
        self._offset = self._seen()
        self._last: tuple[int, int] | None = None  # by how much, and when on the monotonic clock
        self._complaints = Complaints(log, clock)

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Once: was it set since the last look?"""
        before, self._offset = self._offset, self._seen()
        by = self._offset - before
        if abs(by) <= TOLERANCE_US:
            return
        direction = AHEAD if by > 0 else BACK
        self._last = by, self._clock.monotonic_us()
        self._count(direction)
        self._complaints.tell(direction, f"the clock was set {direction} by {_said(by)}: {_MEANS[direction]}")

    def told(self, ahead_us: int = 0) -> str:
        """The last step, for people; empty if there was none. `ahead_us`: by how much received time is ahead of the clock."""
        said = []
        if self._last is not None:
            by, at = self._last
            since = (self._clock.monotonic_us() - at) / 1e6
            said.append(f"the clock was set {AHEAD if by > 0 else BACK} by {_said(by)} {since:.0f} s ago")
        if ahead_us > TOLERANCE_US:
            said.append(f"received time is {_said(ahead_us)} ahead of the clock and goes on at half pace")
        return "; ".join(said)

    def _seen(self) -> int:
        return self._clock.now_us() - self._clock.monotonic_us()


def _said(span_us: int) -> str:
    return f"{abs(span_us) / 1e6:.1f} s"
