"""The target on a SQL store: rows and place in one transaction, exactly as the pipeline writes them; idempotent by event id.

The store's tables are the same as the pipeline's own, and so is the order of reading: a partition of a topic is a journal, a record's
offset its position. Two processes that for a moment both write a partition disturb nothing: ids are kept once, a place never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.messages.event import Output, Place
from collector.relays.protocol import BEGINNING
from collector.sinks.protocol import Sink


class SqlTarget:
    """See protocol.Target. The store's tables must have been migrated."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def place(self, journal: str) -> Place:
        """See Target."""
        return await self._sink.high(journal)

    async def put(self, journal: str, outputs: Sequence[Output], place: Place) -> None:
        """See Target."""
        await self._sink.write(journal, outputs, place)

    async def resend(self, outputs: Sequence[Output], journal: str) -> None:
        """See Target. A place before all others moves nothing."""
        await self._sink.write(journal, outputs, BEGINNING)

    async def close(self) -> None:
        """See Target."""
        await self._sink.close()
