"""The same store on Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.settings import Sink
from collector.store.engine import open_engine
from tests.audit.rows import Store
from tests.support.postgres import Database, in_thread


class PostgresStore(Store):
    """Tables in a database of the test's own; written to from a thread, as there is no driver that does without a loop."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def url(self) -> str:
        return self.database.url

    def opened(self) -> AsyncEngine:
        return open_engine(Sink(url=self.url))

    def transact(self, work: Callable[[Connection], None]) -> None:
        async def transact() -> None:
            engine = self.opened()
            try:
                async with engine.begin() as connection:
                    await connection.run_sync(work)
            finally:
                await engine.dispose()

        in_thread(lambda: asyncio.run(transact()))

    def payloads(self, *rows: dict[str, Any]) -> None:
        """Postgres holds no NUL in texts: the sink stores U+FFFD."""
        super().payloads(*({k: v.replace("\0", "\ufffd") if isinstance(v, str) else v for k, v in row.items()} for row in rows))

    def close(self) -> None:
        """The database ends with the test."""
