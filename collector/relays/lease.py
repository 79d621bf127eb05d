"""One process at a time runs a relay that reads from a Postgres store: an advisory lock, which the server lets go with the session.

Without it several collectors on one store would each send everything. An SQLite file has one process, and needs none.
"""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.store.errors import retryable


class Lease:
    """The lock of one relay. `held` is asked before each round: a session that is lost lost the lock too."""

    def __init__(self, engine: AsyncEngine, relay: str) -> None:
        self._engine, self._relay = engine, relay
        self._connection: AsyncConnection | None = None

    async def held(self) -> bool:
        """Whether this process has it; takes it if it is free. Raises RetryableError."""
        if self._engine.dialect.name != "postgresql":
            return True
        with retryable(f"relay {self._relay}: the SQL store"):
            if self._connection is not None:
                try:
                    await self._connection.execute(text("SELECT 1"))
                except BaseException:
                    await self.give_up()
                    raise
                return True
            connection = await (await self._engine.connect()).execution_options(isolation_level="AUTOCOMMIT")
            row = await connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _number(self._relay)})
            if row.scalar_one():
                self._connection = connection
                return True
            await connection.close()
            return False

    async def give_up(self) -> None:
        """Ends the session: others may have the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()


def _number(relay: str) -> int:
    """64 bits, signed, as the server wants them."""
    return int.from_bytes(blake2b(f"meshscribe relay {relay}".encode(), digest_size=8).digest(), "big", signed=True)
