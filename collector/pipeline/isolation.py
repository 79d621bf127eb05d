"""Keeps one output that can never be written from stopping all that come behind it: it goes to the dead letters, the rest goes on.

A batch that its target refuses for ever is halved until the output at fault stands alone. Used around the pipeline's sink, and by relays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import orjson

from collector.clock import Clock
from collector.complaints import Complaints
from collector.dead_letters import DeadLetters, letter, undone
from collector.dead_letters.burials import Burials
from collector.describe import describe_fault
from collector.errors import PermanentError
from collector.messages.columns import ExchangeColumns
from collector.messages.event import Output, Place
from collector.messages.exchange import Fault, Node
from collector.sinks.protocol import Sink

log = logging.getLogger("meshscribe.sink")

Write = Callable[[Sequence[Output], Place], Awaitable[None]]
Bury = Callable[[Output, str], Awaitable[Output | None]]
SINK = "sink"
ROW = "row"  # the stage that a store's refusal is counted under
LETTERS_AT_ONCE = 64


async def isolate(write: Write, bury: Bury, outputs: Sequence[Output], place: Place) -> None:
    """Writes all that can be written, in order, with `place` at the end; what cannot be written is buried, with the reason, and what
    `bury` gives is written in its stead.

    Raises PermanentError: not even a place without outputs can be written. What the two functions raise else passes through.
    """
    try:
        await write(outputs, place)
    except PermanentError as error:
        if not outputs:
            raise
        if len(outputs) == 1:
            instead = await bury(outputs[0], str(error))
            await _in_its_stead(write, instead, place)
            return
        half = len(outputs) // 2
        await isolate(write, bury, outputs[:half], outputs[half - 1].place)
        await isolate(write, bury, outputs[half:], place)


async def _in_its_stead(write: Write, instead: Output | None, place: Place) -> None:
    try:
        await write([instead] if instead is not None else [], place)
    except PermanentError:
        if instead is None:
            raise
        await write([], place)


class IsolatingSink:
    """A sink that refuses no output: see collector.sinks.protocol.Sink. Outputs with a fault bring their letter with them.

    `burials` counts what went to the dead letters; several sinks of a process may share it.
    """

    def __init__(self, sink: Sink, letters: DeadLetters, clock: Clock, burials: Burials | None = None) -> None:
        self._sink, self._letters, self._clock = sink, letters, clock
        self._burials = burials if burials is not None else Burials()
        self._complaints = Complaints(log, clock)
        self._counted: dict[str, Place] = {}  # by journal: the last output with a fault whose letter is there

    async def high(self, journal: str) -> Place:
        """See Sink."""
        return await self._sink.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """See Sink. A letter is stored before the place moves on, so a crash in between repeats it, under the same id."""

        async def write(some: Sequence[Output], place: Place) -> None:
            await self._sink.write(journal, some, place)

        async def bury(output: Output, reason: str) -> Output | None:
            now = self._clock.now_us()
            await self._letters.add(letter(SINK, journal, output, reason, now))
            self._buried(ROW, reason, output.place)
            return None if output.fault is not None else _counting(output, reason)

        faulty = [output for output in outputs if output.fault is not None]
        if faulty:
            await self._add(journal, faulty)
        await isolate(write, bury, outputs, high)

    async def close(self) -> None:
        """See Sink."""
        await self._sink.close()
        await self._letters.close()

    async def _add(self, journal: str, faulty: Sequence[Output]) -> None:
        for start in range(0, len(faulty), LETTERS_AT_ONCE):
            some = [(output.place, output.fault) for output in faulty[start : start + LETTERS_AT_ONCE] if output.fault is not None]
            await self._letters.add(*(undone(SINK, journal, place, fault) for place, fault in some))
            for place, fault in some:
                if place > self._counted.get(journal, Place(0, 0)):  # else this write is tried again
                    self._counted[journal] = place
                    self._buried(fault.stage, fault.reason, place)

    def _buried(self, stage: str, reason: str, place: Place) -> None:
        self._burials.count(stage, reason)
        self._complaints.tell(f"{stage}\0{reason}", f"an output at {place.position}/{place.ordinal} goes to the dead letters: {reason}")


def _counting(output: Output, reason: str) -> Output | None:
    """What counts it in the ledger, under the proxy that it was of; None: that is not known, or it was itself a window.

    Its time is the output's own, so that a write that is tried again gives the same window, and counts once.
    """
    for event in output.events:
        if isinstance(event.columns, ExchangeColumns) and event.columns.node:
            fault = Fault(_node(event.columns.node, event.data), ROW, reason, event.time_us, "", b"")
            return describe_fault(fault, output.place)._replace(fault=None)
    return None


def _node(name: str, record: bytes) -> Node:
    try:
        proxy = orjson.loads(record)["proxy"]
        return Node(str(name), namespace=str(proxy.get("namespace", "")), workload=str(proxy.get("workload", "")))
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return Node(str(name))
