"""Which namespaces there are to ask Kubernetes about: those that the store holds exchanges of, and those with services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.clock import Clock
from collector.errors import RetryableError

KEPT_US = 10_000_000  # how long an answer holds
MOST = 1000
# From each namespace to the next one in the index: as many steps as there are namespaces, however many exchanges.
_STORED = text(
    "WITH RECURSIVE found (name) AS ("
    "SELECT min(namespace) FROM exchanges"
    " UNION ALL SELECT (SELECT min(namespace) FROM exchanges WHERE namespace > found.name) FROM found WHERE found.name IS NOT NULL"
    f") SELECT name FROM found WHERE name IS NOT NULL LIMIT {MOST}"
)


class KnownNamespaces:
    """Of one store. `services`: the namespaces of the catalogue, from memory."""

    def __init__(self, engine: AsyncEngine, services: Callable[[], Iterable[str]], clock: Clock) -> None:
        self._engine, self._services, self._clock = engine, services, clock
        self._held: tuple[int, Sequence[str]] | None = None

    async def __call__(self) -> Sequence[str]:
        """All of them, in order. Raises RetryableError: the store does not answer."""
        if self._held is None or self._clock.monotonic_us() - self._held[0] >= KEPT_US:
            self._held = (self._clock.monotonic_us(), await self._stored())
        return sorted({*self._held[1], *self._services()})

    async def _stored(self) -> Sequence[str]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(_STORED)).scalars())
        except (SQLAlchemyError, OSError) as error:
            raise RetryableError(f"which namespaces there are cannot be read: {getattr(error, 'orig', None) or error}") from error
