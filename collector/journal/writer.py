"""The one thread that writes to the file. All that waits goes into one transaction, so that one fsync serves many.

Guarantees: entries get their positions in the order of `put`, without holes, and are reported only when they are durable; a group that
fails takes no positions and leaves the thread working. Commands run between groups, in order with them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from collector.errors import RetryableError
from collector.health import Waiting
from collector.journal.checksum import checksum
from collector.journal.faults import FaultLog, translate
from collector.journal.rows import Place
from collector.messages.entry import Entry, Kind

T = TypeVar("T")
GROUP_ENTRIES = 128
GROUP_BYTES = 8 << 20
CLOSED = "journal: it is closed"


class Append(NamedTuple):
    """An entry that waits to be written, without its position."""

    future: asyncio.Future[int]
    kind: Kind
    source: str
    received_at: int
    payload: bytes
    message: object
    memory: int  # bytes it takes
    sender: str = ""


Stored = int | str | bytes  # a column's value


class Command(NamedTuple):
    """Something else to do, in a transaction of its own, or in none."""

    future: asyncio.Future[Any]
    work: Callable[[sqlite3.Connection], object]
    in_transaction: bool


class Stop(NamedTuple):
    """The last item."""


Item = Append | Command | Stop


class Owner(Protocol):
    """Who is told, in the event loop, what became of a group."""

    def committed(self, group: list[Append], entries: list[Entry]) -> None: ...

    def failed(self, group: list[Append], error: Exception) -> None: ...


class Writer:
    """Owns the connection from `start` to the end of `stop`."""

    def __init__(self, connection: sqlite3.Connection, end: Place, owner: Owner, silent_seconds: float) -> None:
        self._connection = connection
        self._end = end
        self._owner = owner
        self._faults = FaultLog()
        self._file = str(connection.execute("PRAGMA database_list").fetchone()[2])
        self.waiting = Waiting(silent_seconds)  # for the disk
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._ahead: Item | None = None  # taken from the queue while a group was gathered
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self.put: Callable[[Append], None] = self._queue.put

    def start(self) -> None:
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, in_transaction: bool = True) -> T:
        """Runs `work` in the thread. Raises JournalFullError or RetryableError as Journal.append does."""
        if self._stopping:
            raise RetryableError(CLOSED)
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Command(future, work, in_transaction))
        return await future

    async def stop(self) -> None:
        """Writes what was put before, then ends the thread and closes the connection."""
        self._stopping = True
        self._queue.put(Stop())
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while True:
            item = self._take()
            self.waiting.begin()
            if isinstance(item, Append):
                self._write(self._gather(item))
            elif isinstance(item, Command):
                self._execute(item)
            else:
                self._connection.close()
                return
            self.waiting.end()

    def _take(self) -> Item:
        item, self._ahead = self._ahead, None
        return self._queue.get() if item is None else item

    def _gather(self, first: Append) -> list[Append]:
        group, size = [first], len(first.payload)
        while len(group) < GROUP_ENTRIES and size < GROUP_BYTES and not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, Append):
                self._ahead = item
                break
            group.append(item)
            size += len(item.payload)
        return group

    def _write(self, group: list[Append]) -> None:
        try:
            entries, values, end = number(group, self._end)
            # One statement without BEGIN and COMMIT is one transaction, and gives up the interpreter lock only once for the whole group.
            self._connection.execute(insert(len(group)), values)
        except Exception as error:  # noqa: BLE001 - handed to who waits; the thread has to live on
            self._tell(self._owner.failed, group, self._fault(error, "append"))
            return
        self._end = end
        self._faults.worked()
        self._tell(self._owner.committed, group, entries)

    def _execute(self, command: Command) -> None:
        try:
            if command.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            result = command.work(self._connection)
            if command.in_transaction:
                self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - handed to who waits; the thread has to live on
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._tell(fail, command.future, self._fault(error, getattr(command.work, "__name__", "command")))
        else:  # which does not tell that appends work: only an append ends what is said of them
            self._tell(resolve, command.future, result)

    def _fault(self, error: Exception, doing: str) -> Exception:
        fault = translate(error, doing, self._file)
        self._faults.failed(fault)
        return fault

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass


def number(group: list[Append], end: Place) -> tuple[list[Entry], list[Stored], Place]:
    """The group as entries behind `end`, as the values of one INSERT, and the new end."""
    entries: list[Entry] = []
    values: list[Stored] = []
    position, total = end.position, end.total_bytes
    for _, kind, source, received_at, payload, message, _, sender in group:
        position += 1
        total += len(payload)
        entries.append(Entry(position, kind, source, received_at, payload, message, sender))
        crc = checksum(position, kind, source.encode(), sender.encode(), received_at, payload)
        values += (position, int(kind), source, sender, received_at, total, crc, payload)
    return entries, values, Place(position, total, group[-1].received_at)


@lru_cache(GROUP_ENTRIES)
def insert(rows: int) -> str:
    """The statement that inserts so many entries."""
    columns = "(position, kind, source, sender, received_at, total_bytes, crc, payload)"
    return f"INSERT INTO entries {columns} VALUES {','.join(['(?,?,?,?,?,?,?,?)'] * rows)}"


def resolve(future: asyncio.Future[T], result: T) -> None:
    """Sets the result, unless who waited has gone."""
    if not future.done():
        future.set_result(result)


def fail(future: asyncio.Future[T], error: BaseException) -> None:
    """Sets the error, unless who waited has gone."""
    if not future.done():
        future.set_exception(error)
