"""The ledger against itself, and against what is stored.

Windows and exchanges are outputs of one order, so both can be cut at the same place: what was closed before a window was written is
counted in it or in an earlier one, exactly.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sqlalchemy import ColumnElement, Numeric, Table, case, cast, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.audit.ledger_items import read_window
from collector.audit.ledger_queries import halves, whole
from collector.audit.moments import Span
from collector.messages import ledger_data
from collector.messages.event import Place
from collector.messages.ledger import ACCOUNT, BY_REASON, COUNTS
from collector.messages.ledger_data import LARGEST
from collector.sinks.protocol import BEGINNING
from collector.store.errors import retryable
from collector.store.schema import exchanges, ledger
from collector.store.sql_types import FoundRow, Statement
from collector.upkeep.verify import Finding, named

SUMS, CLOSED, WINDOWS = "ledger", "stored", "windows"


class _Cut(NamedTuple):
    """A journal's part that the span's windows speak of: behind `low`, up to `high`."""

    journal: str
    low: Place
    high: Place


async def sums(engine: AsyncEngine, span: Span) -> list[Finding]:
    """announced = received + dropped + missing, in each window. What was counted as lost is known, and so not missing here."""
    with retryable("ledger"):
        async with engine.connect() as connection:
            rows = (await connection.execute(_accounts(span))).all()
    return [_even(row) for row in rows]


def _accounts(span: Span) -> Statement:
    """By proxy: the sums, by how much each window is off in itself, and how many hold a number too large to be true."""
    announced, *others = (cast(ledger.c[name], Numeric) for name in ACCOUNT)
    saturated = or_(*(ledger.c[name] >= LARGEST for name in ACCOUNT))
    off = func.sum(case((saturated, 0), else_=func.abs(announced - others[0] - others[1] - others[2])))
    unknown = func.sum(case((saturated, 1), else_=0))
    sums = [half for name in ACCOUNT for half in halves(name)]
    by = (ledger.c.node, ledger.c.sender)
    wanted = [*_within(span), ledger.c.away_from_us.is_(None)]
    return select(*by, off.label("off"), unknown.label("unknown"), *sums).where(*wanted).group_by(*by).order_by(*by)


def _even(row: FoundRow) -> Finding:
    announced, received, dropped, missing = (whole(row, name) for name in ACCOUNT)
    said, off = f"announced {announced} = received {received} + dropped {dropped} + missing {missing}", int(row.off)
    said = said if not off else f"{said.replace('=', '≠')}: windows are off by {off}"
    if row.unknown:
        said += f"; {int(row.unknown)} windows hold numbers beyond 64 bits and cannot be checked"
    return Finding(SUMS, f"{row.node} ({row.sender})" if row.sender else row.node, off, said)


async def windows(engine: AsyncEngine, span: Span) -> list[Finding]:
    """Whether each window's JSON can be read, and says the numbers that the row's columns say."""
    read, damaged = 0, []
    with retryable("ledger"):
        async with engine.connect() as connection:
            wanted = select(ledger).where(*_within(span)).order_by(ledger.c.id)
            async with connection.stream(wanted, execution_options={"yield_per": 500}) as rows:
                async for row in rows:
                    read += 1
                    if (why := _fault(row)) is not None:
                        damaged.append(f"{row.id} ({why})")
    said = f"{read} read"
    if damaged:
        said += f", damaged: {named(damaged)}: the columns' numbers count, the reasons are not known"
    return [Finding(WINDOWS, "all", len(damaged), said)]


def _fault(row: FoundRow) -> str | None:
    stored = read_window(row.data)
    if stored is None:
        return "no JSON object"
    try:
        told = ledger_data.columns(stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"no window: {error!r}"
    other = [name for name in (*COUNTS, *BY_REASON) if getattr(told, name) != getattr(row, name)]
    return f"another number in its column: {', '.join(other)}" if other else None


async def closed(engine: AsyncEngine, span: Span) -> list[Finding]:
    """Exchanges stored against those that the ledger says were closed, by proxy."""
    with retryable("exchanges and ledger"):
        async with engine.connect() as connection:
            cuts = [cut for journal in await _journals(connection) if (cut := await _cut(connection, journal, span)).high > cut.low]
            counted, stored = Counter[str](), Counter[str]()
            apart = False
            for cut in cuts:
                said, there = await _counted(connection, cut), await _stored(connection, _between(exchanges, cut))
                if not there and await _elsewhere(connection, cut.journal):
                    apart = True
                counted.update(said)
                stored.update(there)
            if apart:  # windows and exchanges came by different partitions: only the totals can be compared
                stored = await _stored(connection, exchanges.c.revision == 0)
    return [_compared(node, counted[node], stored[node], apart) for node in sorted(counted.keys() | ({} if apart else stored).keys())]


def _compared(node: str, counted: int, stored: int, apart: bool) -> Finding:
    missing = max(0, counted - stored) if apart else abs(counted - stored)
    said = f"closed {counted}, stored {stored}" + (" (all that is stored; some may be newer than the last window)" if apart else "")
    return Finding(CLOSED, node, missing, said)


async def _journals(connection: AsyncConnection) -> list[str]:
    return [row.journal for row in await connection.execute(select(ledger.c.journal).distinct().order_by(ledger.c.journal))]


async def _cut(connection: AsyncConnection, journal: str, span: Span) -> _Cut:
    low = await _last(connection, journal, ledger.c.time_us < span.since_us) if span.since_us is not None else BEGINNING
    before = ledger.c.time_us < span.until_us if span.until_us is not None else ledger.c.journal == journal
    return _Cut(journal, low, await _last(connection, journal, before))


async def _last(connection: AsyncConnection, journal: str, wanted: ColumnElement[bool]) -> Place:
    """Of the windows that are wanted, the last one's place."""
    order = (ledger.c.position.desc(), ledger.c.ordinal.desc())
    # Without those of a dead letter (no length), which speak of themselves alone, and absences, which are told when they are over.
    own = (ledger.c.window_us > 0) & ledger.c.away_from_us.is_(None)
    found = select(ledger.c.position, ledger.c.ordinal).where(ledger.c.journal == journal, wanted, own).order_by(*order).limit(1)
    row = (await connection.execute(found)).one_or_none()
    return Place(row.position, row.ordinal) if row else BEGINNING


async def _counted(connection: AsyncConnection, cut: _Cut) -> dict[str, int]:
    total = func.sum(ledger.c.both + ledger.c.tap_only + ledger.c.access_log_only)
    rows = await connection.execute(select(ledger.c.node, total.label("closed")).where(_between(ledger, cut)).group_by(ledger.c.node))
    return {row.node: int(row.closed) for row in rows}


async def _stored(connection: AsyncConnection, wanted: ColumnElement[bool]) -> Counter[str]:
    count = select(exchanges.c.node, func.count().label("stored")).where(wanted, exchanges.c.revision == 0)
    return Counter({row.node: int(row.stored) for row in await connection.execute(count.group_by(exchanges.c.node))})


async def _elsewhere(connection: AsyncConnection, journal: str) -> bool:
    """Whether there are exchanges, but none of this journal."""
    for wanted, there in ((exchanges.c.journal == journal, False), (exchanges.c.journal != journal, True)):
        row = (await connection.execute(select(exchanges.c.id).where(wanted).limit(1))).first()
        if (row is not None) != there:
            return False
    return True


def _between(table: Table, cut: _Cut) -> ColumnElement[bool]:
    place = tuple_(table.c.position, table.c.ordinal)
    return (table.c.journal == cut.journal) & (place > tuple_(*cut.low)) & (place <= tuple_(*cut.high))


def _within(span: Span) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if span.since_us is not None:
        wanted.append(ledger.c.time_us >= span.since_us)
    if span.until_us is not None:
        wanted.append(ledger.c.time_us < span.until_us)
    return wanted
