"""What whoever writes events guarantees: the pipeline's sink, a relay's target, and where replay and dead letters go.

tests/conformance/test_sink.py runs on every implementation that has transactions, tests/conformance/test_relay.py on every pair of a feed
and a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from collector.messages.event import Output, Place

WHOLE = 2**31 - 1  # the ordinal that says: all outputs of this position
BEGINNING = Place(0, WHOLE)  # before all others


class Sink(Protocol):
    """Stores outputs in order, in batches, each with the place up to which the journal is then done."""

    async def high(self, journal: str) -> Place:
        """The last place stored for this journal; BEGINNING if none. Raises RetryableError."""
        ...

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """All of the outputs and `high`, or nothing. What is stored already is passed over. Durable when it returns.

        Only HTTP has no transactions: there the outputs come first, then the place; a crash in between repeats events, with the same ids.
        Raises RetryableError (nothing was stored, or a repeat finds what was; it may work later) or PermanentError (it never will).
        """
        ...

    async def close(self) -> None:
        """Ends after what was begun."""
        ...


class Resends(Protocol):
    """Takes outputs out of their order: what is rebuilt, or was a dead letter, is no part of a journal's way."""

    async def resend(self, journal: str, outputs: Sequence[Output]) -> None:
        """Writes these and no place; a writer that is running is not disturbed. Raises as `Sink.write`."""
        ...

    async def close(self) -> None:
        """Ends after what was begun."""
        ...


class Target(Sink, Resends, Protocol):
    """Where a relay writes, and where what it gave up is sent again."""
