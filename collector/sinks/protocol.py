"""What a sink guarantees; tests/conformance/test_sink.py runs on every implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from collector.messages.event import Output, Place

WHOLE = 2**31 - 1  # the ordinal that says: all outputs of this position


class Sink(Protocol):
    """Stores outputs in order, in atomic batches, each with the place up to which the journal is then done."""

    async def high(self, journal: str) -> Place:
        """The last place stored for this journal; (0, WHOLE) if none. Raises RetryableError."""
        ...

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """All of the outputs and `high`, or nothing. An event id that is stored already is passed over. Durable when it returns.

        Raises RetryableError (nothing was stored, it may work later) or PermanentError (it never will).
        """
        ...

    async def close(self) -> None:
        """Ends after what was begun."""
        ...
