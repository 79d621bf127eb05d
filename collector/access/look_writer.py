"""Writes looks to the store before their answers begin: whatever waits goes into one transaction, one after the other.

A look that cannot be written in time is kept and tried again, up to a bound, while its answer goes its way (audit/looks.py says which
answers may). What is given up is counted and logged.

Each look gets a position in the order in which looks are committed, whoever writes them: access/look_relay.py copies them on in that order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec
from prometheus_client import CollectorRegistry
from sqlalchemy import Insert, Table, bindparam, exists, func, insert, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look import Look
from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import RetryableError
from collector.metrics.listed import answering
from collector.sqlite.turns import in_turn
from collector.store.engine import LOOK_SECONDS
from collector.store.schema import looks, looks_at, looks_placed
from collector.tasks import cancel

MOST_WAITING = 5_000  # looks; the oldest beyond are lost
RETRY_SECONDS = 0.25
# A position is taken and committed before the next one is taken, so none can appear later below one that was read.
_ONE_BY_ONE = select(func.pg_advisory_xact_lock(literal_column(str(0x6D73_6C6F_6F6B))))
# A transaction of which it is not known whether it was done is done again: a look that is there has its position.
_NEW = select(bindparam("look_id", type_=looks.c.id.type)).where(~exists().where(looks.c.id == bindparam("look_id")))
_PLACED = insert(looks_placed).from_select(["look"], _NEW)
ROWS_AT_ONCE = 2_000  # in one transaction: what else is to be written waits meanwhile
_log = logging.getLogger("meshscribe.access")


class NotWrittenError(RetryableError):
    """The look is not in the store yet, and may never be."""


class Waiting:
    """A look on its way. `written` is there once the look is durable."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class LookWriter:
    """The one hand that writes looks. Start it, and stop it before the engine is disposed of."""

    def __init__(self, engine: AsyncEngine, clock: Clock, registry: CollectorRegistry, seconds: float = LOOK_SECONDS) -> None:
        self._engine, self._clock, self._seconds = engine, clock, seconds
        self._waiting: deque[Waiting] = deque()
        self._come = asyncio.Event()
        self._complaints = Complaints(_log, clock)
        self.outcomes = answering.LOOKS.by_value(registry)
        self.failing: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What waits is tried once more."""
        if self._task is not None:
            await cancel(self._task)
        while self._waiting and await self._once():
            pass
        self._give_up(len(self._waiting))

    async def write(self, look: Look, withheld: int | None = None) -> None:
        """Returns when the look is durable. Raises NotWrittenError after the time limit; the look stays in the line.

        `withheld`: the status of the answer that is given then in place of this one, which the look in the line tells too.
        """
        waiting = self._enter(look)
        try:
            async with asyncio.timeout(self._seconds):
                await asyncio.shield(waiting.written)
        except TimeoutError:
            if withheld is not None:
                waiting.look = look.refused(withheld)
            self.outcomes["late" if withheld is None else "withheld"].inc()
            self._complaints.tell("late", f"who looked cannot be written now: {self.failing or 'the store does not answer in time'}")
            raise NotWrittenError("who looked cannot be written now") from None

    def _enter(self, look: Look) -> Waiting:
        waiting = Waiting(look)
        self._waiting.append(waiting)
        self._give_up(len(self._waiting) - MOST_WAITING)
        self._come.set()
        return waiting

    def _give_up(self, number: int) -> None:
        for _ in range(number):
            self._waiting.popleft()
            self.outcomes["lost"].inc()
        if number > 0:
            self._complaints.tell("lost", f"{number} looks at the log are not written and given up: {self.failing}", logging.ERROR)

    async def _run(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            while self._waiting:
                if not await self._once():
                    await self._clock.sleep(RETRY_SECONDS)

    async def _once(self) -> bool:
        """Writes what waits, up to a bound. Whether it could."""
        some = self._next()
        try:
            await self._store([waiting.look for waiting in some])
        except (SQLAlchemyError, OSError) as error:
            self.failing = str(getattr(error, "orig", None) or error)[:300]
            return False
        self.failing = None
        for waiting in some:
            if self._waiting and self._waiting[0] is waiting:
                self._waiting.popleft()
            self.outcomes["written"].inc()
            if not waiting.written.done():
                waiting.written.set_result(None)
        return True

    def _next(self) -> list[Waiting]:
        """The oldest that wait, as many as make a short transaction."""
        rows, some = 0, list[Waiting]()
        for waiting in self._waiting:
            rows += 1 + len(waiting.look.exchanges)
            if some and rows > ROWS_AT_ONCE:
                break
            some.append(waiting)
        return some

    async def _store(self, some: Sequence[Look]) -> None:
        at = [{"look": look.id, "exchange": exchange} for look in some for exchange in dict.fromkeys(look.exchanges)]
        async with in_turn(self._engine, self._seconds), self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                await connection.execute(_ONE_BY_ONE)
            await connection.execute(_PLACED, [{"look_id": look.id} for look in some])
            await connection.execute(self._insert(looks), list(_rows(some)))
            if at:
                await connection.execute(self._insert(looks_at), at)

    def _insert(self, table: Table) -> Insert:
        """A transaction of which it is not known whether it was done is done again, and changes nothing then."""
        make = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        return make(table).on_conflict_do_nothing()


def _rows(some: Iterable[Look]) -> Iterable[dict[str, object]]:
    for look in some:
        yield {**msgspec.structs.asdict(look), "exchanges": msgspec.json.encode(look.exchanges)}
