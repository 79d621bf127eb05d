"""The dead letters of several stores as one, to be looked at and dropped. What is added goes to the first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from collector.dead_letters import DeadLetter, DeadLetters, Heap


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
