"""What the process knows of its own state: one component each for what must work, asked by the audit listener's /readyz.

A `Health` answers from memory and at once: it does no I/O, so that a probe never waits for the part that hangs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from collector.tasks import escaped

T = TypeVar("T")

RECENT_SECONDS = 10.0  # who was refused comes again within seconds: so long a refusal may still hold
SILENT_SECONDS = 4.0  # so what hangs is told within five


class Component(NamedTuple):
    """A part that must work. `detail` is a sentence for people: what is wrong, or a figure that says how it goes."""

    name: str
    ok: bool
    detail: str = ""


class Health(Protocol):
    """The state of the process."""

    def components(self) -> Sequence[Component]:
        """Every part, in the order of the data. The process is ready when all are ok."""
        ...


class LastRefusal:
    """The last refusal of a place that refuses for several reasons, told as long as it may still hold."""

    def __init__(self) -> None:
        self._reason, self._at = "", 0.0

    def add(self, reason: str) -> None:
        """Something was refused just now."""
        self._reason, self._at = reason, time.monotonic()

    @property
    def reason(self) -> str | None:
        """None: nothing was of late."""
        return self._reason if self._reason and time.monotonic() - self._at < RECENT_SECONDS else None


class Waiting:
    """How long an answer is waited for, one wait at a time. What hangs says nothing and raises nothing: only who waits can tell.

    `silent_seconds`: without an answer for so long it counts as hung.
    """

    def __init__(self, silent_seconds: float = SILENT_SECONDS) -> None:
        self._silent_seconds = silent_seconds
        self._since: float | None = None

    def begin(self) -> None:
        """From now on an answer is waited for."""
        self._since = time.monotonic()

    def end(self) -> None:
        """It came, whatever it said."""
        self._since = None

    async def answer(self, asked: Callable[[], Awaitable[T]], whose: str) -> T:
        """The answer; it counts as waited for meanwhile. Raises RetryableError: it was cancelled from inside, by a library of `whose`."""
        self.begin()
        try:
            return await asked()
        except asyncio.CancelledError as error:
            raise escaped(error, whose) from error
        finally:
            self.end()

    @property
    def seconds(self) -> float:
        """How long it has been waited for; 0 if it is not."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def silence(self) -> str | None:
        """`has not answered for N s`, once that is too long."""
        seconds = self.seconds
        return f"has not answered for {seconds:.0f} s" if seconds > self._silent_seconds else None
