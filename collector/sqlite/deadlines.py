"""Ends what an SQLite store works on at its deadline. Without that a query runs in its thread for as long as it takes, whoever has gone.

SQLite asks from time to time whether to go on. The deadline is that of the task which takes a connection from the pool.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

DEADLINE: ContextVar[float | None] = ContextVar("DEADLINE", default=None)  # on the monotonic clock; None: as long as it takes
STEPS = 20_000  # of SQLite's machine between two looks, about a millisecond
_KEY = "meshscribe deadline"


class _Deadline:
    """Of the connection's present use."""

    def __init__(self) -> None:
        self.at: float | None = None

    def passed(self) -> bool:
        return self.at is not None and time.monotonic() > self.at


def keep_deadlines(engine: AsyncEngine) -> None:
    """For an engine on an SQLite file whose connections any thread may use."""

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        deadline = record.info[_KEY] = _Deadline()
        connection.driver_connection._conn.set_progress_handler(deadline.passed, STEPS)

    @event.listens_for(engine.sync_engine, "checkout")
    def checkout(connection: Any, record: Any, proxy: Any) -> None:
        del connection, proxy
        record.info[_KEY].at = DEADLINE.get()

    @event.listens_for(engine.sync_engine, "checkin")
    def checkin(connection: Any, record: Any) -> None:
        del connection
        record.info[_KEY].at = None
