"""Who works on an SQLite file, and for how long: the turns of those who write it in this process, and the deadlines of who reads it.

SQLite itself lets who finds the file locked sleep, up to a tenth of a second at a time, and whoever comes by chance goes first; with turns
each waits for his, and gets it at once when it comes. Another process has no part in this: for that one SQLite's own waiting stays.
Without a deadline a query runs in its thread for as long as it takes, whoever has gone. SQLite asks from time to time whether to go on. The
deadline is that of the task which takes a connection from the pool.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

_turns: dict[Path, threading.Lock] = {}  # as many as there are files
_guard = threading.Lock()
DEADLINE: ContextVar[float | None] = ContextVar("DEADLINE", default=None)  # on the monotonic clock; None: as long as it takes
STEPS = 20_000  # of SQLite's machine between two looks, about a millisecond
_KEY = "meshscribe deadline"


def turn(path: Path) -> threading.Lock:
    """The one lock of this file. To be held for a transaction, and by a thread that may wait."""
    with _guard:
        return _turns.setdefault(path.resolve(), threading.Lock())


@asynccontextmanager
async def in_turn(engine: AsyncEngine, seconds: float) -> AsyncIterator[None]:
    """For who writes to a file beside this process's sink; to a server everybody writes at once. Raises OSError: no turn came in time."""
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path:
        yield
        return
    lock = turn(Path(path))
    asked = asyncio.ensure_future(asyncio.to_thread(lock.acquire, timeout=seconds))
    try:
        came = await asyncio.shield(asked)
    except asyncio.CancelledError:  # it may come all the same, and nobody would give it back
        asked.add_done_callback(lambda done: lock.release() if done.result() else None)
        raise
    if not came:
        raise OSError("the store is being written to")
    try:
        yield
    finally:
        lock.release()


class _Deadline:
    """Of the connection's present use."""

    def __init__(self) -> None:
        self.at: float | None = None

    def passed(self) -> bool:
        return self.at is not None and time.monotonic() > self.at


def keep_deadlines(engine: AsyncEngine) -> None:
    """For an engine on an SQLite file whose connections any thread may use."""

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: AdaptedConnection, record: ConnectionPoolEntry) -> None:
        deadline = record.info[_KEY] = _Deadline()
        connection.driver_connection._conn.set_progress_handler(deadline.passed, STEPS)

    @event.listens_for(engine.sync_engine, "checkout")
    def checkout(connection: AdaptedConnection, record: ConnectionPoolEntry, proxy: object) -> None:
        del connection, proxy
        record.info[_KEY].at = DEADLINE.get()

    @event.listens_for(engine.sync_engine, "checkin")
    def checkin(connection: AdaptedConnection, record: ConnectionPoolEntry) -> None:
        del connection
        record.info[_KEY].at = None
