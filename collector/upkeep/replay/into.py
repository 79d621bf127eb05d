"""Where rebuilt events go: a SQL store, the Kafka topics, or lines of JSON. Events that a SQL store has already are passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from collector.clock import Clock
from collector.dead_letters.events import structured
from collector.messages.event import Output
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import KafkaSink
from collector.sinks.open import open_sink
from collector.sinks.protocol import Resends
from collector.store.migrate import migrate


class Into(NamedTuple):
    """`with_usage`: it takes usage events too, which a SQL store does not keep."""

    writer: Resends
    with_usage: bool


class Lines:
    """See Resends. One event a line, in the CloudEvents JSON format."""

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit

    async def resend(self, journal: str, outputs: Sequence[Output]) -> None:
        self._emit(b"".join(structured(event, journal, output.place) + b"\n" for output in outputs for event in output.events))

    async def close(self) -> None:
        """Nothing is open."""


async def open_into(url: str | None, settings: Settings, clock: Clock, emit: Callable[[bytes], None]) -> Into:
    """`url`: as sink.url; None: lines. Raises ValueError for other URLs (pydantic's), and RetryableError."""
    if url is None:
        return Into(Lines(emit), True)
    sink = SinkSettings(url=url)
    if sink.is_kafka:
        return Into(KafkaSink(settings.kafka), True)
    await asyncio.to_thread(migrate, url)
    return Into(open_sink(sink, clock, settings.usage, settings.search), False)
