"""Ends looks that are older than they are to be kept, in small batches. It is an Expiry (store/retention.py) with days of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look import ids
from collector.errors import RetryableError
from collector.store.partitions import edge
from collector.store.retention import PAUSE_SECONDS, Ended
from collector.store.schema import looks, looks_at, looks_placed

WHAT = "looks"
BATCH_LOOKS = 100  # each may be of a thousand exchanges
BATCH_PLACES = 1_000


class LookExpiry:
    """The looks of one store."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def end(self, before: int, dry_run: bool = False) -> AsyncIterator[Ended]:
        """See Expiry."""
        try:
            total = await self._count(edge(before)) if dry_run else 0
            while not dry_run and (deleted := await self._delete(edge(before))):
                total += deleted
                await asyncio.sleep(PAUSE_SECONDS)  # the sink writes in between
            displaced = BATCH_PLACES
            while not dry_run and displaced:
                displaced = await self._displace(edge(before))
                await asyncio.sleep(PAUSE_SECONDS if displaced else 0)
        except (SQLAlchemyError, OSError) as error:
            raise RetryableError(f"looks cannot be deleted now: {getattr(error, 'orig', None) or error}") from error
        if total:
            yield Ended(WHAT, total)

    async def newest_us(self) -> int | None:
        """See Expiry."""
        try:
            async with self._engine.connect() as connection:
                found: int | None = await connection.scalar(select(looks.c.time_us).order_by(looks.c.id.desc()).limit(1))
                return found if isinstance(found, int) else None
        except (SQLAlchemyError, OSError) as error:
            raise RetryableError(f"looks cannot be read now: {getattr(error, 'orig', None) or error}") from error

    async def _count(self, before: str) -> int:
        async with self._engine.connect() as connection:
            return int(await connection.scalar(select(func.count()).select_from(looks).where(looks.c.id < before)) or 0)

    async def _delete(self, before: str) -> int:
        async with self._engine.begin() as connection:
            some = select(looks.c.id, looks.c.exchanges).where(looks.c.id < before).order_by(looks.c.id).limit(BATCH_LOOKS)
            rows = (await connection.execute(some)).all()
            if at := [{"of": exchange, "by": row.id} for row in rows for exchange in ids(row.exchanges)]:
                one = (looks_at.c.exchange == bindparam("of")) & (looks_at.c.look == bindparam("by"))
                await connection.execute(delete(looks_at).where(one), at)
            if rows:
                await connection.execute(delete(looks).where(looks.c.id.in_([row.id for row in rows])))
        return len(rows)

    async def _displace(self, before: str) -> int:
        """Ends positions of what is gone. They are nearly in the order of time, and a look's id tells its time."""
        async with self._engine.begin() as connection:
            oldest = select(looks_placed.c.position).order_by(looks_placed.c.position).limit(BATCH_PLACES)
            done = await connection.execute(
                delete(looks_placed).where(looks_placed.c.position.in_(oldest.scalar_subquery()), looks_placed.c.look < before)
            )
        return int(done.rowcount)
