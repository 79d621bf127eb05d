"""When to try again: growing waits, and what the other side asked for. Pure: the random source is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

RETRY_AFTER_CAP_S = 10.0


class Backoff:
    """Doubling, jittered waits with a cap, back to the start after a success.

    A low cap and the reset matter more than politeness: with a cap of 30 s and no reset a catalogue stayed stale for
    18 s after the server had come back.
    """

    def __init__(self, first_s: float, cap_s: float, random: Callable[[], float]) -> None:
        """`random` gives numbers in [0, 1)."""
        self._first_s = first_s
        self._cap_s = cap_s
        self._random = random
        self._tries = 0

    def next_s(self, asked_s: float = 0.0) -> float:
        """Seconds to wait now: between half and all of the doubled step, and at least what a Retry-After asked for."""
        step_s = min(self._cap_s, self._first_s * float(2 ** min(self._tries, 32)))
        self._tries += 1
        return max(step_s * (0.5 + self._random() / 2), min(asked_s, RETRY_AFTER_CAP_S))

    def reset(self) -> None:
        """After a success."""
        self._tries = 0


def retry_after(value: str | None, now_us: int) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110 §10.2.3: a number or a date); None if it says nothing that can be read."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_us / 1e6)
