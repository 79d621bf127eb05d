"""The sums of usage against the exchanges they are made of, to the unit; and what each exchange's columns say against its record.

Hours whose exchanges retention has deleted, or that nobody has counted yet, cannot be held against anything, and are not.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.moments import Span, first_id, past_id
from collector.kafka.columns import exchange_columns
from collector.store.engine import snapshot
from collector.store.errors import retryable
from collector.store.partitions import edge
from collector.store.usage_book import AS_USUAL
from collector.store.usage_counting import counted_back_to
from collector.store.usage_deltas import HOUR_US
from collector.store.usage_recount import Recount, differences, hour_edge, state
from collector.upkeep.verify import Finding, named

CHECK = "usage"
_REMEDY = "`meshscribe recount` makes them anew"
_RECORDS = text(
    "SELECT id, protocol, billable, usage, data FROM exchanges WHERE id >= :first AND id < :behind AND billable IS NOT NULL ORDER BY id"
)
_UNCOUNTED = text(
    "SELECT count(*) AS number FROM exchanges WHERE id >= :first AND id < :behind"
    " AND (billable IS NULL OR (billable = 1 AND usage_key IS NULL AND NOT superseded AND id >= :ended))"
)
_TOLD = ("protocol", "billable", "usage")


async def sums(engine: AsyncEngine, span: Span, step: Callable[[int, int], None] = lambda *_: None) -> list[Finding]:
    """Every hour's sums, and its day's, recounted row by row. `step`: told how many hours of how many are done."""
    recount, wrong, numbers = Recount(engine, AS_USUAL), list[str](), 0
    hours = [hour for hour in await recount.hours() if _within(hour, span)]
    days = set[int]()
    for done, hour in enumerate(hours):
        with retryable(CHECK):
            async with snapshot(engine) as connection:
                of_hour, of_day = await differences(connection, hour)
        numbers += len(of_hour) + (len(of_day) if hour // 24 not in days else 0)
        days |= {hour // 24} if of_day else set()
        wrong += [_hour(hour)] if of_hour or of_day else []
        step(done + 1, len(hours))
    said = f"{len(hours)} hours recounted"
    if wrong:
        said += f", with other sums than their exchanges have: {named(wrong)}: {_REMEDY}"
    return [Finding(CHECK, "sums", numbers, said), await _uncounted(engine, span)]


async def records(engine: AsyncEngine, span: Span) -> list[Finding]:
    """Whether the columns that sums are made of say what the record says."""
    read, wrong = 0, list[str]()
    with retryable(CHECK):
        async with engine.connect() as connection, connection.stream(_RECORDS, _bounds(span), execution_options={"yield_per": 500}) as rows:
            async for row in rows:
                read += 1
                if _differs(row):
                    wrong.append(row.id)
    said = f"{read} read" + (f", with other usage in their columns than in their record: {named(wrong)}: {_REMEDY}" if wrong else "")
    return [Finding(CHECK, "exchanges", len(wrong), said)]


async def _uncounted(engine: AsyncEngine, span: Span) -> Finding:
    with retryable(CHECK):
        async with engine.connect() as connection:
            found = await state(connection)
            number = (await connection.execute(_UNCOUNTED, {**_bounds(span), "ended": edge(found.ended)})).scalar_one()
    if found.uncounted is not None:
        return Finding(CHECK, "older exchanges", 0, f"{number} wait to be counted; counted back to {counted_back_to(found.uncounted)}")
    said = f"{number} are counted nowhere: `meshscribe recount` counts those that can be read" if number else "all are counted"
    return Finding(CHECK, "older exchanges", number, said)


def _differs(row: Row[tuple[object, ...]]) -> bool:
    try:
        told = exchange_columns(orjson.loads(row.data))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # the check of records tells it
    return any(getattr(told, name) != getattr(row, name) for name in _TOLD)


def _within(hour: int, span: Span) -> bool:
    return (hour + 1) * HOUR_US > (span.since_us or 0) and (span.until_us is None or hour * HOUR_US < span.until_us)


def _bounds(span: Span) -> dict[str, str]:
    return {"first": first_id(span.since_us or 0), "behind": past_id(span.until_us) if span.until_us is not None else "~"}


def _hour(hour: int) -> str:
    return counted_back_to(hour_edge(hour))
