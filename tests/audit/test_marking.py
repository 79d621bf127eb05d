"""What an older version stored gets marks, tokens and times as if it were stored now (`meshscribe marks`)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from collector.audit.marked import Bounds, Sought, find
from collector.audit.moments import Span
from collector.audit.parameters import ExchangeQuery
from collector.messages.marks import NONE
from collector.store.schema import exchanges, marks
from collector.upkeep.marking import AT_ONCE, fill, left
from tests.audit.rows import NOW, SECOND, Store
from tests.audit.test_marks import row

NEW = ("marks", "tokens", "first_token_us")


def older(number: int) -> dict[str, Any]:
    return {**row(number, NOW - number * 600 * SECOND), **dict.fromkeys(NEW)}


@pytest.mark.slow
async def test_old_exchanges_become_as_findable_as_new_ones(store: Store) -> None:
    count = AT_ONCE + 30
    expected = {row(number, NOW - number * 600 * SECOND)["id"]: row(number, NOW - number * 600 * SECOND) for number in range(count)}
    damaged = {**older(count), "data": b"{", "crc": 1}
    store.exchanges(*(older(number) for number in range(count)), damaged)
    engine = store.opened()
    assert await left(engine) == count + 1
    assert [done async for done in fill(engine)] == [AT_ONCE, 31]
    assert await left(engine) == 0
    async with engine.connect() as connection:
        for one in await connection.execute(select(exchanges)):
            wanted = expected.get(one.id)
            assert tuple(getattr(one, name) for name in NEW) == (tuple(wanted[name] for name in NEW) if wanted else (NONE, None, None))
        assert (await connection.execute(select(marks.c.bucket).distinct())).all()
        page = await find(connection, Sought(ExchangeQuery(session="s200"), Span(), bounds=Bounds(1, 1, 5)), None, 10)
        assert [one.exchange for one in page.rows] == [
            identity for identity, wanted in expected.items() if "session:s200\n" in wanted["marks"]
        ]
    await engine.dispose()


async def test_filling_that_was_ended_goes_on(store: Store) -> None:
    store.exchanges(*(older(number) for number in range(AT_ONCE + 5)))
    engine = store.opened()
    filling = fill(engine)
    await anext(filling)
    await filling.aclose()
    assert await left(engine) == 5
    assert [done async for done in fill(engine)] == [5]
    await engine.dispose()
