"""Both ends of `meshscribe replay`: what is read, and where the events go.

Read is the journal's file, or each partition of its topic, with a plan of what of it. Events go to a SQL store, the Kafka topics, or lines
of JSON; those that a SQL store has already are passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from collector.clock import Clock
from collector.correlate import Limits
from collector.dead_letters.events import structured
from collector.errors import BadInputError
from collector.messages.event import Output
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import KafkaSink
from collector.sinks.open import open_sink
from collector.sinks.protocol import Resends
from collector.store.migrate import migrate
from collector.upkeep.replay.history import History
from collector.upkeep.replay.rebuild import Entries, Plan, plan
from collector.upkeep.replay.topic import TopicHistory


class Source(NamedTuple):
    """One journal, and what of it is read."""

    journal: str
    history: Entries
    way: Plan


async def open_sources(settings: Settings, since_us: int, until_us: int, limits: Limits, stack: AsyncExitStack) -> list[Source]:
    """The stack closes them. Raises BadInputError: nothing of the span is kept; DamagedError and RetryableError."""
    if settings.in_roles:
        topic = TopicHistory(settings.kafka)
        stack.push_async_callback(topic.close)
        parts = [(part, await part.plan(since_us, until_us, limits)) for part in await topic.open()]
        found = [Source(part.journal, part, way) for part, way in parts if way.last]
        if not found:
            raise BadInputError(f"nothing of this span is kept: topic {settings.kafka.raw_topic} has nothing newer (retention.ms)")
        return found
    history = History(settings.journal.path)
    stack.callback(history.close)
    return [Source(history.extent().journal, history, await plan(history, since_us, until_us, limits))]


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
