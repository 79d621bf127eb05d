"""What a relay is made of: a feed that it reads in order, and a target that it writes to. tests/conformance/test_relay.py runs on every pair.

A relay holds one batch in memory and nothing else: a target that is dead for a week costs no memory, and holds up nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from collector.messages.event import Output, Place


class Feed(Protocol):
    """The events that a sink holds, per journal in the order of their places, without gaps."""

    async def journals(self) -> Sequence[str]:
        """The journals whose events the sink holds."""
        ...

    async def read(self, journal: str, after: Place, limit: int) -> Sequence[Output]:
        """The next outputs behind `after`, never beyond the sink's `high`; empty if there are none now. Raises RetryableError."""
        ...


class Target(Protocol):
    """Where a relay writes. What it acknowledged is durable."""

    async def place(self, journal: str) -> Place:
        """The last place that this relay has written of this journal; (0, WHOLE) if none. Raises RetryableError."""
        ...

    async def put(self, journal: str, outputs: Sequence[Output], place: Place) -> None:
        """Writes the outputs and the place: in one transaction where the target has them, else in that order (then a crash repeats events,
        with the same ids). Raises RetryableError, or PermanentError (of the first output: the relay then sends that one to the dead letters).
        """
        ...

    async def close(self) -> None:
        """Ends after what was begun."""
        ...
