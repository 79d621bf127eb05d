"""Statements over the sums of usage, in SQL that SQLite and Postgres share. No I/O here.

Whole days are read from usage_days, the hours at both ends, and all where hours are asked for, from usage_hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Label,
    Select,
    Subquery,
    Table,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSON

from collector.audit.ledger_queries import halves
from collector.audit.moments import EPOCH, Span
from collector.audit.parameters import UsageQuery
from collector.messages.ledger import LOSSES
from collector.messages.usage_counts import SUMS
from collector.store.schema import LOST, ledger, usage_days, usage_hours, usage_keys
from collector.store.sql_types import Condition, Statement
from collector.store.usage_deltas import HOUR_US, HOURS

FILTERS = ("namespace", "service", "model", "consumer", "user", "caller", "protocol")
LAST_HOUR = 70_389_527  # of the year 9999
_MONTHS = 1200  # that are told apart
_key = usage_keys.c


class Hours(NamedTuple):
    """Whole hours since 1970; `behind` is outside."""

    first: int
    behind: int


def hours(span: Span) -> Hours:
    """All hours that the span touches."""
    behind = LAST_HOUR + 1 if span.until_us is None else -(-span.until_us // HOUR_US)
    return Hours((span.since_us or 0) // HOUR_US, behind)


def extent() -> Statement:
    """The first and the last day of which there are sums."""
    return select(func.min(usage_days.c.day).label("first"), func.max(usage_days.c.day).label("last"))


def groups(query: UsageQuery, within: Hours, reach: ColumnElement[bool], dialect: str, limit: int) -> Statement:
    """The groups with the most calls: their names, `at` if by time, `folded`, and all sums. What revisions have left empty is none."""
    unit = query.group_by.unit
    keys = _keys(query, reach, dialect)
    inner = _summed(query, within, keys, dialect)
    names = [keys.c[name] for name in _names(query)]
    folded = func.max(keys.c.folded).label("folded")
    by = [*names, *([inner.c.at] if unit else []), *([keys.c.folded] if names else [])]
    sums = [func.sum(inner.c[name]).label(name) for name in SUMS]
    found = select(*names, *([inner.c.at] if unit else []), folded, *sums).join_from(inner, keys, keys.c.id == inner.c.key)
    if not by:
        return found
    order = [func.sum(inner.c.calls).desc(), *names]
    some = func.sum(inner.c.calls + inner.c.late) > 0
    return found.group_by(*by).having(some).order_by(*([inner.c.at] if unit else []), *order).limit(limit)


def size(query: UsageQuery, within: Hours, reach: ColumnElement[bool], dialect: str) -> Select[int]:
    """How many groups there are."""
    return select(func.count()).select_from(groups(query, within, reach, dialect, 10_000_000).order_by(None).subquery())


def _names(query: UsageQuery) -> list[str]:
    """What the groups are named by, as columns of the keys."""
    return [*query.group_by.dimensions, *(f"annotation:{name}" for name in query.group_by.annotations)]


def _keys(query: UsageQuery, reach: ColumnElement[bool], dialect: str) -> CTE | Subquery:
    """The keys that are asked for, with their names. Annotations are read out of JSON: Postgres is to do that once for each key."""
    names = [_key[name] for name in query.group_by.dimensions]
    told = [_annotation(name, dialect).label(f"annotation:{name}") for name in query.group_by.annotations]
    chosen = select(_key.id, _key.folded, *names, *told).where(reach, *_wanted(query, dialect))
    return chosen.subquery("chosen") if dialect == "sqlite" or not told else chosen.cte("chosen").prefix_with("MATERIALIZED")


def _summed(query: UsageQuery, within: Hours, keys: CTE | Subquery, dialect: str) -> Subquery:
    """What is to be summed. SQLite sums by key first, unless it is by time: keys are few, and numbers. Postgres takes twice the time for
    that: it holds all sums of all keys at once, and groups by names are fewer.
    """
    unit = query.group_by.unit
    rows = [_rows(table, bounds, within, unit) for table, bounds in _parts(within, unit)]
    if dialect != "sqlite":
        return _together(rows)
    inner = _together([one.where(one.selected_columns.key.in_(select(keys.c.id))) for one in rows])
    if unit:
        return inner
    return select(inner.c.key, *(func.sum(inner.c[name]).label(name) for name in SUMS)).group_by(inner.c.key).subquery()


def _together(rows: list[Statement]) -> Subquery:
    return (union_all(*rows) if len(rows) > 1 else rows[0]).subquery()


def _parts(within: Hours, unit: str | None) -> list[tuple[Table, list[tuple[int, int]]]]:
    """What is read of which table, as ranges of hours or days."""
    first, behind = -(-within.first // HOURS), within.behind // HOURS
    if unit == "hour" or first >= behind:
        return [(usage_hours, [within])]
    edges = [(within.first, first * HOURS), (behind * HOURS, within.behind)]
    edges = [(low, high) for low, high in edges if low < high]
    return [(usage_days, [(first, behind)]), *([(usage_hours, edges)] if edges else [])]


def _rows(table: Table, ranges: list[tuple[int, int]], within: Hours, unit: str | None) -> Statement:
    time = table.c.hour if table is usage_hours else table.c.day
    at: list[Label[int]] = []
    if unit == "hour":
        at = [time.label("at")]
    elif unit:
        day = time if table is usage_days else time // literal_column(str(HOURS), Integer)
        at = [(day if unit == "day" else _month(day, within)).label("at")]
    return select(table.c.key, *at, *(table.c[name] for name in SUMS)).where(or_(*((time >= low) & (time < high) for low, high in ranges)))


def _month(day: ColumnElement[int], within: Hours) -> ColumnElement[int]:
    """The first day of its month, as days since 1970."""
    firsts = [first for first in month_firsts(within) if first > within.first // HOURS]
    start = month_of(within.first // HOURS)
    if not firsts:
        return literal_column(str(start), Integer)
    ladder = [(day >= literal_column(str(first)), literal_column(str(first), Integer)) for first in reversed(firsts)]
    return case(*ladder, else_=literal_column(str(start), Integer))


def month_firsts(within: Hours) -> list[int]:
    """The first days of the months in it."""
    found, day = list[int](), month_of(within.first // HOURS)
    while day * HOURS < within.behind and len(found) < _MONTHS:
        found.append(day)
        day = month_of(day + 31)
    return found


def month_of(day: int) -> int:
    """The first day of this day's month."""
    return day - (EPOCH + timedelta(days=day)).day + 1


def _wanted(query: UsageQuery, dialect: str) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [_key[name] == value for name in FILTERS if (value := getattr(query, name)) is not None]
    if query.annotation is not None:
        wanted.append(_annotation(query.annotation.name, dialect) == query.annotation.value)
    return wanted


def _annotation(name: str, dialect: str) -> ColumnElement[str]:
    """Of the key's annotations this one. The name holds no quote."""
    if dialect == "sqlite":
        return func.json_extract(_key.annotations, f'$."{name}"')
    return cast(_key.annotations, JSON).op("->>")(name)


def losses(within: Hours, reach: ColumnElement[bool], namespace: str | None) -> Statement:
    """By proxy, what the ledger's windows of these hours say was lost. Few windows do, and an index has them."""
    counted = [half for name in LOSSES for half in halves(name)]
    wanted: list[Condition] = [
        text(f"({LOST})"),
        reach,
        ledger.c.time_us >= within.first * HOUR_US,
        ledger.c.time_us < within.behind * HOUR_US,
    ]
    if namespace is not None:
        wanted.append(ledger.c.namespace == namespace)
    by = (ledger.c.node, ledger.c.sender)
    return select(*by, *counted).where(*wanted).group_by(*by)


def at(unit: str, number: int) -> str:
    """The time that a group by time is of, for people."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + (timedelta(hours=number) if unit == "hour" else timedelta(days=number))
    return moment.isoformat().replace("+00:00", "Z") if unit == "hour" else moment.strftime("%Y-%m-%d" if unit == "day" else "%Y-%m")
