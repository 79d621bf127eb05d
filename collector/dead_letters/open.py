"""Where dead letters go: into the SQL store of the process that gives up, or, if it has none, into the Kafka topic.

Several stores are looked at as one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from collector.dead_letters import DeadLetter, DeadLetters, Heap
from collector.dead_letters.kafka import KafkaDeadLetters
from collector.dead_letters.sql import SqlDeadLetters
from collector.settings import Settings
from collector.store.engine import open_engine, store_is_there


class Several:
    """See DeadLetters."""

    def __init__(self, stores: Sequence[DeadLetters]) -> None:
        self._stores = stores

    async def add(self, *letters: DeadLetter) -> None:
        """See DeadLetters."""
        await self._stores[0].add(*letters)

    async def heaps(self) -> Sequence[Heap]:
        """See DeadLetters."""
        return [heap for store in self._stores for heap in await store.heaps()]

    async def all(self) -> AsyncIterator[DeadLetter]:
        """See DeadLetters; the oldest first of each store."""
        for store in self._stores:
            async for letter in store.all():
                yield letter

    async def drop(self, ids: Sequence[str]) -> int:
        """See DeadLetters."""
        return sum([await store.drop(ids) for store in self._stores])

    async def close(self) -> None:
        """See DeadLetters."""
        for store in self._stores:
            await store.close()


def open_letters(settings: Settings) -> DeadLetters:
    """Where this process puts its own. Connects when it is first asked for something."""
    if settings.sink.is_kafka or (settings.in_roles and settings.role not in ("store", "audit")):
        return KafkaDeadLetters(settings.kafka)
    return SqlDeadLetters(open_engine(settings.sink))


def open_all_letters(settings: Settings) -> DeadLetters:
    """Those of all roles: `process` has them in the topic, `store` in its tables."""
    if not settings.in_roles or settings.sink.is_kafka or not store_is_there(settings.sink):
        return open_letters(settings)
    return Several([KafkaDeadLetters(settings.kafka), SqlDeadLetters(open_engine(settings.sink))])
