"""What `meshscribe replay` reads: the journal's file, or each partition of the journal's topic, with a plan of what of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import NamedTuple

from collector.correlate import Limits
from collector.errors import BadInputError
from collector.settings import Settings
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
