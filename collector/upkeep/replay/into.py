"""Where rebuilt events go: a SQL store, the Kafka topics, or lines of JSON. Events that a SQL store has already are passed over."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from collector.clock import Clock
from collector.dead_letters.events import structured
from collector.kafka.transactions import Transactions
from collector.messages.event import Output
from collector.relays.protocol import BEGINNING
from collector.settings import Kafka
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import records
from collector.sinks.open import open_sink
from collector.sinks.protocol import Sink
from collector.store.migrate import migrate


class Into(Protocol):
    """Takes outputs, and no place: what is rebuilt is no part of a journal's way. Raises RetryableError and PermanentError."""

    async def write(self, journal: str, outputs: Sequence[Output]) -> None: ...
    async def close(self) -> None: ...


class IntoSql:
    """A store, whose tables are made if they are not there."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def write(self, journal: str, outputs: Sequence[Output]) -> None:
        await self._sink.write(journal, outputs, BEGINNING)

    async def close(self) -> None:
        await self._sink.close()


class IntoKafka:
    """The topics of the settings. Readers see these events once more, with the ids that they had."""

    def __init__(self, settings: Kafka) -> None:
        self._settings = settings
        self._writer = Transactions(settings, f"meshscribe-replay-{uuid.uuid4().hex}")

    async def write(self, journal: str, outputs: Sequence[Output]) -> None:
        await self._writer.commit(records(self._settings, journal, outputs))

    async def close(self) -> None:
        await self._writer.close()


class IntoLines:
    """One event a line, in the CloudEvents JSON format."""

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit

    async def write(self, journal: str, outputs: Sequence[Output]) -> None:
        self._emit(b"".join(structured(event, journal, output.place) + b"\n" for output in outputs for event in output.events))

    async def close(self) -> None:
        """Nothing is open."""


async def open_into(url: str | None, settings: Kafka, clock: Clock, emit: Callable[[bytes], None]) -> Into:
    """`url`: as sink.url; None: lines. Raises ValueError for other URLs (pydantic's), and RetryableError."""
    if url is None:
        return IntoLines(emit)
    sink = SinkSettings(url=url)
    if sink.is_kafka:
        return IntoKafka(settings)
    await asyncio.to_thread(migrate, url)
    return IntoSql(open_sink(sink, clock))
