"""Keeps one output that can never be written from stopping all that come behind it: it goes to the dead letters, the rest goes on.

A batch that its target refuses for ever is halved until the output at fault stands alone. Used around the pipeline's sink, and by relays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from collector.clock import Clock
from collector.dead_letters import DeadLetters, letter
from collector.errors import PermanentError
from collector.messages.event import Output, Place
from collector.sinks.protocol import Sink

log = logging.getLogger("meshscribe.sink")

Write = Callable[[Sequence[Output], Place], Awaitable[None]]
Bury = Callable[[Output, str], Awaitable[None]]
SINK = "sink"


async def isolate(write: Write, bury: Bury, outputs: Sequence[Output], place: Place) -> None:
    """Writes all that can be written, in order, with `place` at the end; what cannot be written is buried, with the reason.

    Raises PermanentError: not even a place without outputs can be written. What the two functions raise else passes through.
    """
    try:
        await write(outputs, place)
    except PermanentError as error:
        if not outputs:
            raise
        if len(outputs) == 1:
            await bury(outputs[0], str(error))
            await write([], place)
            return
        half = len(outputs) // 2
        await isolate(write, bury, outputs[:half], outputs[half - 1].place)
        await isolate(write, bury, outputs[half:], place)


class IsolatingSink:
    """A sink that refuses no output: see collector.sinks.protocol.Sink. `buried`: how many went to the dead letters since the start."""

    def __init__(self, sink: Sink, letters: DeadLetters, clock: Clock) -> None:
        self._sink, self._letters, self._clock = sink, letters, clock
        self.buried = 0

    async def high(self, journal: str) -> Place:
        """See Sink."""
        return await self._sink.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """See Sink. A letter is stored before the place moves on, so a crash in between repeats it, under the same id."""

        async def write(some: Sequence[Output], place: Place) -> None:
            await self._sink.write(journal, some, place)

        async def bury(output: Output, reason: str) -> None:
            log.error("an output at %s cannot be stored and goes to the dead letters: %s", output.place, reason)
            await self._letters.add(letter(SINK, journal, output, reason, self._clock.now_us()))
            self.buried += 1

        await isolate(write, bury, outputs, high)

    async def close(self) -> None:
        """See Sink."""
        await self._sink.close()
        await self._letters.close()
