"""Gives marks to exchanges that an older version stored, the newest first, some at a time. It can be ended and begun again at any time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypedDict

import orjson
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.messages.marks import NONE, marks, numbers
from collector.store.errors import retryable
from collector.store.postings import postings
from collector.store.schema import UNMARKED, exchanges
from collector.store.sound import fault_of

AT_ONCE = 200  # in one transaction: short, so that the sink gets its turn
_WITHOUT = text(f"({UNMARKED})")
_INDEXED = ("bucket", "batch", "hashes", "told")
_POST = text(f"INSERT INTO marks ({', '.join(_INDEXED)}) VALUES (:{', :'.join(_INDEXED)}) ON CONFLICT DO NOTHING")
_column = exchanges.c
_SET = (
    update(exchanges)
    .where(_column.id == bindparam("of"))
    .values(marks=bindparam("said"), tokens=bindparam("all_tokens"), first_token_us=bindparam("first_us"))
)


async def left(engine: AsyncEngine) -> int:
    """How many have none. Raises RetryableError."""
    with retryable("exchanges without marks could not be counted"):
        async with engine.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(exchanges).where(_WITHOUT))).scalar_one())


async def fill(engine: AsyncEngine) -> AsyncIterator[int]:
    """Tells how many more were done, each time. Raises RetryableError."""
    wanted = select(_column.id, _column.crc, _column.data).where(_WITHOUT).order_by(_column.id.desc()).limit(AT_ONCE)
    while True:
        with retryable("marks could not be filled in"):
            async with engine.connect() as connection:
                rows = (await connection.execute(wanted)).all()
            if not rows:
                return
            found = [_marks(row.id, row.crc, row.data) for row in reversed(rows)]  # all writers lock in the order of ids
            async with engine.begin() as connection:
                await _write(connection, found)
        yield len(rows)


class Marked(TypedDict):
    """An exchange's row with what it is found by, as the parameters of an update."""

    of: str
    said: str
    all_tokens: int | None
    first_us: int | None


async def _write(connection: AsyncConnection, found: list[Marked]) -> None:
    rows = postings((one["of"], one["said"]) for one in found)
    if rows:
        await connection.execute(_POST, [dict(zip(_INDEXED, row, strict=True)) for row in rows])
    await connection.execute(_SET, found)


def _marks(identity: str, crc: int | None, data: bytes) -> Marked:
    """Of a damaged record nothing is known, and it is not asked again."""
    if fault_of(data, crc) is not None:
        return {"of": identity, "said": NONE, "all_tokens": None, "first_us": None}
    record = orjson.loads(data)
    tokens, first_us = numbers(record)
    return {"of": identity, "said": marks(record), "all_tokens": tokens, "first_us": first_us}
