"""Sinks that are put around another one: to count ledger windows and calls that no bill has, and to say when something is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import orjson

from collector.messages.columns import ExchangeColumns
from collector.messages.event import LEDGER_TYPE, Output, Place, Untold
from collector.messages.usage import UsageAbsence
from collector.sinks.protocol import Sink


class Meter(Protocol):
    """What is told of each window, and of calls that no bill has, that are stored."""

    def window(self, data: dict[str, object]) -> None:
        """`data`: see messages/ledger_data.py."""
        ...

    def without_usage(self, service: str, reason: UsageAbsence, calls: int) -> None:
        """See messages/event.py: Untold."""
        ...

    def mirrored(self, service: str, calls: int) -> None:
        """See messages/event.py: Output."""
        ...


class UsageMeter(Protocol):
    """What is told of all exchanges of a batch that is stored."""

    def count(self, exchanges: Iterable[ExchangeColumns]) -> None:
        """In their order."""
        ...


class CountedSink:
    """See collector.sinks.protocol.Sink. All are counted when they are durable, so once in the life of a process."""

    def __init__(self, sink: Sink, meter: Meter, usage: UsageMeter | None = None) -> None:
        self._sink, self._meter, self._usage = sink, meter, usage

    async def high(self, journal: str) -> Place:
        """See Sink."""
        return await self._sink.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """See Sink."""
        await self._sink.write(journal, outputs, high)
        exchanges = list[ExchangeColumns]()
        unbilled: dict[Untold | str, int] = {}  # in the order in which they came: added up first, as a counter takes more time than a sum
        for output in outputs:
            if (untold := output.untold) is not None:
                unbilled[untold] = unbilled.get(untold, 0) + 1
            if (mirrored := output.mirrored) is not None:
                unbilled[mirrored] = unbilled.get(mirrored, 0) + 1
            for event in output.events:
                if event.type == LEDGER_TYPE:
                    self._meter.window(orjson.loads(event.data))
                elif isinstance(event.columns, ExchangeColumns):
                    exchanges.append(event.columns)
        for what, calls in unbilled.items():
            if isinstance(what, Untold):
                self._meter.without_usage(*what, calls)
            else:
                self._meter.mirrored(what, calls)
        if self._usage is not None:
            self._usage.count(exchanges)

    async def close(self) -> None:
        """See Sink."""
        await self._sink.close()


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
