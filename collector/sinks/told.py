"""A sink that says when it has stored something. Next stop: the sink that it is put around."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collector.messages.event import Output, Place
from collector.sinks.protocol import Sink


class ToldSink:
    """See collector.sinks.protocol.Sink. `stored` is called when it is durable, and must not wait."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.stored: Callable[[], None] = lambda: None

    async def high(self, journal: str) -> Place:
        """See Sink."""
        return await self._sink.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """See Sink."""
        await self._sink.write(journal, outputs, high)
        self.stored()

    async def close(self) -> None:
        """See Sink."""
        await self._sink.close()
