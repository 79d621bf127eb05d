"""The last refusal and its reason, told as long as it may still hold: who was refused comes again within seconds."""

from __future__ import annotations

import time

RECENT_SECONDS = 10.0


class LastRefusal:
    """Of one place that refuses for several reasons."""

    def __init__(self) -> None:
        self._reason, self._at = "", 0.0

    def add(self, reason: str) -> None:
        """Something was refused just now."""
        self._reason, self._at = reason, time.monotonic()

    @property
    def reason(self) -> str | None:
        """None: nothing was of late."""
        return self._reason if self._reason and time.monotonic() - self._at < RECENT_SECONDS else None
