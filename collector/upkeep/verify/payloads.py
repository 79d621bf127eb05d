"""Every record, and every body that a record speaks of, is stored as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.bodies import compare
from collector.audit.moments import Span, first_id, past_id
from collector.describe.identity import event_id
from collector.errors import DamagedError
from collector.messages.record import Record
from collector.store.errors import retryable
from collector.store.events import payload_bytes
from collector.store.schema import exchanges, payloads
from collector.store.sound import fault_of
from collector.store.sql_types import FoundRow
from collector.upkeep.verify import Finding, named

PAGE = 500
BODIES_AT_ONCE = 20
CHECK, RECORDS = "bodies", "records"
_REMEDY = "where the journal still keeps it, delete the row, then `meshscribe replay --into` the store (docs/damage.md)"


class _Found:
    """What was looked at, and what was not as it must be."""

    def __init__(self) -> None:
        self.records = self.bodies = 0
        self.missing: list[str] = []
        self.damaged: list[str] = []  # bodies
        self.unreadable: list[str] = []  # records


async def bodies(engine: AsyncEngine, span: Span, *, quick: bool = False, step: Callable[[int], None] = lambda _: None) -> list[Finding]:
    """Of the exchanges that began in the span: records against their checksum, and bodies, which `quick` only looks for, against their
    record's sha256.
    """
    found = _Found()
    async for rows in _pages(engine, span):
        expected: dict[str, _Expected] = {}
        for row in rows:
            try:
                if (why := fault_of(row.data, row.crc)) is not None:
                    raise ValueError(why)
                expected.update(_expected(row))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                found.unreadable.append(f"{row.id} ({error})")
        found.records += len(rows)
        found.bodies += len(expected)
        there = await (_there(engine, list(expected)) if quick else _compared(engine, expected, found))
        found.missing += [f"{expected[name].said} ({name})" for name in expected if name not in there]
        step(found.records)
    return _findings(found, quick)


def _findings(found: _Found, quick: bool) -> list[Finding]:
    said = f"{found.bodies} expected" + ("" if quick else ", each compared with its record's sha256")
    if found.missing:
        said += f", missing: {named(found.missing)}"
    findings = [Finding(CHECK, "payloads", len(found.missing), said)]
    if found.damaged:
        said = f"damaged: {named(found.damaged)}: the bytes are not served; {_REMEDY}"
        findings.append(Finding(CHECK, "payloads", len(found.damaged), said))
    said = f"{found.records} read"
    if found.unreadable:
        said += f", damaged: {named(found.unreadable)}: lists show a placeholder, relays make a dead letter of each; {_REMEDY}"
    findings.append(Finding(RECORDS, "all", len(found.unreadable), said))
    return findings


class _Expected(NamedTuple):
    """A body that a record has: what it is, and its sha256."""

    said: str
    record: Record


def _expected(row: FoundRow) -> dict[str, _Expected]:
    """Event id of each payload that the record has → what it is."""
    record = orjson.loads(row.data)
    return {
        event_id(row.exchange, side, row.revision): _Expected(f"{side} of {row.exchange}", record)
        for side in ("request", "response")
        if record[side]["body"].get("captured")
    }


async def _there(engine: AsyncEngine, ids: Sequence[str]) -> set[str]:
    with retryable("payloads"):
        async with engine.connect() as connection:
            return {row.id for row in await connection.execute(select(payloads.c.id).where(payloads.c.id.in_(ids)))} if ids else set()


async def _compared(engine: AsyncEngine, expected: dict[str, _Expected], found: _Found) -> set[str]:
    """Those that are there. Bodies are read a few at a time: that is what is in memory at once."""
    there: set[str] = set()
    names = list(expected)
    for start in range(0, len(names), BODIES_AT_ONCE):
        wanted = select(payloads).where(payloads.c.id.in_(names[start : start + BODIES_AT_ONCE]))
        with retryable("payloads"):
            async with engine.connect() as connection:
                rows = (await connection.execute(wanted)).all()
        for row in rows:
            there.add(row.id)
            try:
                compare(row, payload_bytes(row), expected[row.id].record)
            except DamagedError as error:
                found.damaged.append(str(error))
    return there


async def _pages(engine: AsyncEngine, span: Span) -> AsyncIterator[Sequence[FoundRow]]:
    behind, columns = (
        first_id(span.since_us or 0),
        (exchanges.c.id, exchanges.c.exchange, exchanges.c.revision, exchanges.c.crc, exchanges.c.data),
    )
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
