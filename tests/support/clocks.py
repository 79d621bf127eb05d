"""A clock that tests turn."""

from __future__ import annotations


class TurnedClock:
    """Shows what it was set to."""

    def __init__(self, now_us: int = 1_780_000_000_000_000) -> None:
        self.now = now_us

    def now_us(self) -> int:
        return self.now
