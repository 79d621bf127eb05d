"""Trying again until it works: growing waits, what the other side asks for, and the one loop that waits.

The random source and the sleep are given: tests decide on both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

RETRY_AFTER_CAP_S = 10.0


class Backoff:
    """Growing, jittered waits with a cap, back to the start after a success.

    A low cap and the reset matter more than politeness: with a cap of 30 s and no reset a catalogue stayed stale for
    18 s after the server had come back.
    """

    def __init__(
        self,
        first_s: float,
        cap_s: float,
        random: Callable[[], float],
        *,
        growth: float = 2.0,
        at_once: int = 0,
        asked_cap_s: float = RETRY_AFTER_CAP_S,
    ) -> None:
        """`random` gives numbers in [0, 1). `at_once`: so many tries do not wait. `asked_cap_s`: what may be asked for at most."""
        self._first_s, self._cap_s, self._growth = first_s, cap_s, growth
        self._at_once, self._asked_cap_s = at_once, asked_cap_s
        self._random = random
        self.tries = 0  # that failed since the last success

    def next_s(self, asked_s: float = 0.0) -> float:
        """Seconds to wait now: between half and all of the step, and at least what was asked for."""
        step_s = 0.0
        if self.tries >= self._at_once:
            step_s = min(self._cap_s, self._first_s * self._growth ** min(self.tries - self._at_once, 100))
        self.tries += 1
        return max(step_s * (0.5 + self._random() / 2), min(asked_s, self._asked_cap_s))

    def reset(self) -> None:
        """After a success."""
        self.tries = 0


def steady(seconds: float) -> Backoff:
    """The same wait each time, for what is near and comes back at a moment of its own."""
    return Backoff(seconds, seconds, lambda: 1.0)


def not_asked(_: object) -> float:
    """The other side does not say when it wants to be asked again."""
    return 0.0


async def until_it_works(
    attempt: Callable[[], Awaitable[T]],
    backoff: Backoff,
    sleep: Callable[[float], Awaitable[None]],
    fails: Callable[[E], None],
    on: type[E] | tuple[type[E], ...],
    asked_s: Callable[[E], float] = not_asked,
) -> T:
    """Tries again after each error of the kinds `on`; others are the caller's. `fails` is told of each, before the wait; what it or
    `sleep` raises ends it. `asked_s`: the wait that an error asks for at least.
    """
    while True:
        try:
            result = await attempt()
        except on as error:
            fails(error)
            wait_s = backoff.next_s(asked_s(error))
        else:
            backoff.reset()
            return result
        await sleep(wait_s)


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
