"""The rows that facets and histograms count: the newest that match, up to a budget of rows and of time."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit import mark_queries
from collector.audit.marked import Sought, find
from collector.audit.pages import read

ROWS = 10_000
SECONDS = 2.0  # then what was counted is answered
_AT_ONCE = 5_000


class Gathered(NamedTuple):
    """`ended_at`: the id up to which was counted, where the budget ended it."""

    rows: list[Row[Any]]
    ended_at: str | None


async def gather(connection: AsyncConnection, sought: Sought, budget: int = ROWS) -> Gathered:
    """Whoever asks for indexed values alone gets them in one go; else steps are taken until the budget ends."""
    if not mark_queries.is_bounded(sought.query):
        rows, more = await read(connection, sought.page(None, budget + 1), budget, at_once=_AT_ONCE)
        return Gathered(rows, rows[-1].id if more else None)
    sought = sought._replace(at_once=_AT_ONCE)
    rows, behind, until = [], None, time.monotonic() + SECONDS
    while len(rows) < budget and time.monotonic() < until:
        found = await find(connection, sought, behind, min(_AT_ONCE, budget - len(rows)))
        rows += found.rows
        behind = found.next
        if behind is None:
            break
    return Gathered(rows, behind)


def class_of(status: int | None) -> str:
    """The class of a status, as the filter takes it."""
    return f"{status // 100}xx" if status is not None else "none"
