"""Dead letters in the SQL store's table `dead_letters`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.dead_letters import DeadLetter, Heap
from collector.messages.event import Place
from collector.store.engine import inserting
from collector.store.errors import retryable
from collector.store.schema import dead_letters
from collector.store.sound import remains
from collector.store.sql_types import FoundRow

PAGE = 100
_DROPPED_AT_ONCE = 1000


class SqlDeadLetters:
    """See DeadLetters. Disposes of the engine when it is closed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, *letters: DeadLetter) -> None:
        """See DeadLetters."""
        rows = [_row(letter) for letter in letters]
        with retryable("dead letters"):
            async with self._engine.begin() as connection:
                await connection.execute(inserting(self._engine, dead_letters).on_conflict_do_nothing(index_elements=["id"]), rows)

    async def heaps(self) -> Sequence[Heap]:
        """See DeadLetters."""
        table = dead_letters.c
        counted = select(table.origin, func.count(), func.max(table.at_us)).group_by(table.origin).order_by(table.origin)
        found = []
        with retryable("dead letters"):
            async with self._engine.connect() as connection:
                for origin, number, newest_us in (await connection.execute(counted)).all():
                    newest = select(table.reason).where(table.origin == origin, table.at_us == newest_us).order_by(table.id.desc()).limit(1)
                    found.append(Heap(origin, number, newest_us, (await connection.execute(newest)).scalar() or ""))
        return found

    async def all(self) -> AsyncIterator[DeadLetter]:
        """See DeadLetters. In pages, so that letters may be dropped meanwhile."""
        behind: tuple[int, str] = (-1, "")
        while True:
            at, identity = dead_letters.c.at_us, dead_letters.c.id
            page = select(dead_letters).where(tuple_(at, identity) > tuple_(*behind)).order_by(at, identity).limit(PAGE)
            with retryable("dead letters"):
                async with self._engine.connect() as connection:
                    rows = (await connection.execute(page)).all()
            for row in rows:
                yield _letter(row)
            if len(rows) < PAGE:
                return
            behind = (rows[-1].at_us, rows[-1].id)

    async def drop(self, ids: Sequence[str]) -> int:
        """See DeadLetters."""
        dropped = 0
        with retryable("dead letters"):
            async with self._engine.begin() as connection:
                for start in range(0, len(ids), _DROPPED_AT_ONCE):
                    some = ids[start : start + _DROPPED_AT_ONCE]
                    dropped += (await connection.execute(delete(dead_letters).where(dead_letters.c.id.in_(some)))).rowcount
        return dropped

    async def close(self) -> None:
        """See DeadLetters."""
        await self._engine.dispose()


def _row(letter: DeadLetter) -> dict[str, object]:
    row = {**letter._asdict(), "position": letter.place.position, "ordinal": letter.place.ordinal}
    del row["place"]
    return row


def _letter(row: FoundRow) -> DeadLetter:
    return DeadLetter(
        row.id,
        row.origin,
        row.journal,
        Place(row.position, row.ordinal),
        row.at_us,
        row.reason,
        row.content_type,
        remains(row.data),
        remains(row.columns) if row.columns is not None else None,
    )
