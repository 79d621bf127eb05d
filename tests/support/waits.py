"""Waiting for a condition: on a busy machine the only thing that is known of when it comes is that it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from collector.errors import RetryableError

T = TypeVar("T")
SECONDS = 60.0
PAUSES = (0.01, 0.1)  # the first, and the longest: each is half as long again as the one before


def until(get: Callable[[], T], good: Callable[[T], bool], seconds: float = SECONDS) -> T:
    """Ask until the answer is good, or the time is over; the last answer either way, which is the caller's to assert."""
    deadline, pause = time.monotonic() + seconds, PAUSES[0]
    while not good(found := get()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, PAUSES[1])
    return found


async def until_holds(holds: Callable[[], Any], seconds: float = SECONDS) -> None:
    """While others on this loop go on. What a store that doesn't answer raises meanwhile does not count; what `holds` returns is awaited
    where it has to be. Raises TimeoutError if it does not come to hold.
    """
    async with asyncio.timeout(seconds):
        while True:
            with suppress(OSError, RetryableError):
                found = holds()
                if await found if asyncio.iscoroutine(found) else found:
                    return
            await asyncio.sleep(0.02)
