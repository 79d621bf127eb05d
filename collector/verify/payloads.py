"""Every body that a record speaks of is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.moments import Span, first_id, past_id
from collector.describe.identity import event_id
from collector.sinks.schema import exchanges, payloads
from collector.sql_errors import retryable
from collector.verify import Finding, named

PAGE = 500
CHECK = "bodies"


async def bodies(engine: AsyncEngine, span: Span) -> list[Finding]:
    """Of the exchanges that began in the span. Records that cannot be read are told as missing too."""
    looked_at, missing, damaged = 0, [], []
    async for rows in _pages(engine, span):
        expected = {}
        for row in rows:
            try:
                expected.update(_expected(row))
            except (ValueError, TypeError, KeyError, AttributeError):
                damaged.append(row.id)
        looked_at += len(expected)
        there = await _there(engine, list(expected))
        missing += [f"{expected[name]} ({name})" for name in expected if name not in there]
    found = [Finding(CHECK, "payloads", len(missing), f"{looked_at} expected" + (f", missing: {named(missing)}" if missing else ""))]
    if damaged:
        found.append(Finding(CHECK, "records", len(damaged), f"cannot be read: {named(damaged)}"))
    return found


def _expected(row: Any) -> dict[str, str]:
    """Event id of each payload that the record has → what it is."""
    record = orjson.loads(row.data)
    return {
        event_id(row.exchange, side, row.revision): f"{side} of {row.exchange}"
        for side in ("request", "response")
        if record[side]["body"].get("captured")
    }


async def _there(engine: AsyncEngine, ids: Sequence[str]) -> set[str]:
    with retryable("payloads"):
        async with engine.connect() as connection:
            return {row.id for row in await connection.execute(select(payloads.c.id).where(payloads.c.id.in_(ids)))} if ids else set()


async def _pages(engine: AsyncEngine, span: Span) -> AsyncIterator[Sequence[Any]]:
    behind, columns = first_id(span.since_us or 0), (exchanges.c.id, exchanges.c.exchange, exchanges.c.revision, exchanges.c.data)
    end = past_id(span.until_us) if span.until_us is not None else "g"
    while True:
        page = select(*columns).where(exchanges.c.id > behind, exchanges.c.id < end).order_by(exchanges.c.id).limit(PAGE)
        with retryable("exchanges"):
            async with engine.connect() as connection:
                rows = (await connection.execute(page)).all()
        if not rows:
            return
        yield rows
        behind = rows[-1].id
