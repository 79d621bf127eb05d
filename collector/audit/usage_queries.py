"""Statements over the sums of usage, in SQL that SQLite and Postgres share. No I/O here.

Whole days are read from usage_days; where hours are asked for, all is read from usage_hours. Of a day at either end, of which not all hours
are asked for, its hours are read, or the day without its other hours: a day's sums are those of its hours.
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
FEW_KEYS = 10_000  # of so many, SQLite looks up each key's days: so it need not sort what it reads
_DAYS_OF_KEY = 400  # looked up for each
_key = usage_keys.c


class Hours(NamedTuple):
    """Whole hours since 1970; `behind` is outside. `newest`: the last day that has sums, where it is known."""

    first: int
    behind: int
    newest: int | None = None


class Part(NamedTuple):
    """What is read of a table: ranges of its hours or days. `sign`: -1 where it is taken off."""

    table: Table
    ranges: list[tuple[int, int]]
    sign: int = 1


def hours(span: Span) -> Hours:
    """All hours that the span touches."""
    behind = LAST_HOUR + 1 if span.until_us is None else -(-span.until_us // HOUR_US)
    return Hours((span.since_us or 0) // HOUR_US, behind)


def extent() -> Statement:
    """The first and the last day of which there are sums."""
    return select(func.min(usage_days.c.day).label("first"), func.max(usage_days.c.day).label("last"))


def number_of_keys() -> Select[int]:
    """How many keys there are, counted up to one more than FEW_KEYS."""
    return select(func.count()).select_from(select(_key.id).limit(FEW_KEYS + 1).subquery())


def groups(query: UsageQuery, within: Hours, reach: ColumnElement[bool], dialect: str, limit: int, *, few_keys: bool = False) -> Statement:
    """The groups with the most calls: their names, `at` if by time, `folded`, and all sums. What revisions have left empty is none.

    `few_keys`: there are no more than FEW_KEYS.
    """
    unit = query.group_by.unit
    keys = _keys(query, reach, dialect)
    inner = _summed(query, within, keys, dialect, few_keys)
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


def size(query: UsageQuery, within: Hours, reach: ColumnElement[bool], dialect: str, *, few_keys: bool = False) -> Select[int]:
    """How many groups there are."""
    found = groups(query, within, reach, dialect, 10_000_000, few_keys=few_keys)
    return select(func.count()).select_from(found.order_by(None).subquery())


def _names(query: UsageQuery) -> list[str]:
    """What the groups are named by, as columns of the keys."""
    return [*query.group_by.dimensions, *(f"annotation:{name}" for name in query.group_by.annotations)]


def _keys(query: UsageQuery, reach: ColumnElement[bool], dialect: str) -> CTE | Subquery:
    """The keys that are asked for, with their names. Annotations are read out of JSON: Postgres is to do that once for each key."""
    names = [_key[name] for name in query.group_by.dimensions]
    told = [_annotation(name, dialect).label(f"annotation:{name}") for name in query.group_by.annotations]
    chosen = select(_key.id, _key.folded, *names, *told).where(reach, *_wanted(query, dialect))
    return chosen.subquery("chosen") if dialect == "sqlite" or not told else chosen.cte("chosen").prefix_with("MATERIALIZED")


def _summed(query: UsageQuery, within: Hours, keys: CTE | Subquery, dialect: str, few_keys: bool) -> Subquery:
    """What is to be summed. SQLite sums by key first, unless it is by time: keys are few, and numbers. Postgres takes twice the time for
    that: it holds all sums of all keys at once, and groups by names are fewer.
    """
    unit = query.group_by.unit
    parts = _parts(within, unit)
    if dialect != "sqlite":
        return _together([_rows(part, within, unit) for part in parts])
    looked_up = [part for part in parts if few_keys and not unit and part.sign > 0 and _is_short(part)]
    rows = [_rows(part, within, unit) for part in parts if part not in looked_up]
    chosen = [one.where(one.selected_columns.key.in_(select(keys.c.id))) for one in rows]
    if unit:
        return _together(chosen)
    by_key = [_of_each_key(part, keys) for part in looked_up]
    if chosen:
        inner = _together(chosen)
        by_key.append(select(inner.c.key, *(func.sum(inner.c[name]).label(name) for name in SUMS)).group_by(inner.c.key))
    return _together(by_key)


def _is_short(part: Part) -> bool:
    return part.table is usage_days and sum(behind - first for first, behind in part.ranges) <= _DAYS_OF_KEY


def _of_each_key(part: Part, keys: CTE | Subquery) -> Statement:
    """Its days are looked up. The join is an outer one, so that SQLite begins with the keys."""
    days = [day for first, behind in part.ranges for day in range(first, behind)]
    found = keys.outerjoin(usage_days, (usage_days.c.key == keys.c.id) & usage_days.c.day.in_(days))
    sums = (func.coalesce(func.sum(usage_days.c[name]), 0).label(name) for name in SUMS)
    return select(keys.c.id.label("key"), *sums).select_from(found).group_by(keys.c.id)


def _together(rows: list[Statement]) -> Subquery:
    return (union_all(*rows) if len(rows) > 1 else rows[0]).subquery()


def _parts(within: Hours, unit: str | None) -> list[Part]:
    """What is read of which table."""
    first, behind = within.first // HOURS, -(-within.behind // HOURS)
    if unit == "hour" or behind - first < 2:
        return [Part(usage_hours, [(within.first, within.behind)])]
    more, less = list[tuple[int, int]](), list[tuple[int, int]]()
    asked, others = (within.first, (first + 1) * HOURS), (first * HOURS, within.first)
    if _is_less(others, asked):
        less.append(others)
    else:
        more.append(asked)
        first += 1
    asked, others = ((behind - 1) * HOURS, within.behind), (within.behind, behind * HOURS)
    if behind - 1 == within.newest or _is_less(others, asked):  # the newest day has hardly any hours behind these
        less.append(others)
    else:
        more.append(asked)
        behind -= 1
    parts = [Part(usage_days, [(first, behind)]), Part(usage_hours, more), Part(usage_hours, less, -1)]
    parts = [part._replace(ranges=[(low, high) for low, high in part.ranges if low < high]) for part in parts]
    return [part for part in parts if part.ranges]


def _is_less(others: tuple[int, int], asked: tuple[int, int]) -> bool:
    """Whether a day and its other hours are fewer rows than the hours that are asked for."""
    return 1 + others[1] - others[0] < asked[1] - asked[0]


def _rows(part: Part, within: Hours, unit: str | None) -> Statement:
    table = part.table
    time = table.c.hour if table is usage_hours else table.c.day
    at: list[Label[int]] = []
    if unit == "hour":
        at = [time.label("at")]
    elif unit:
        day = time if table is usage_days else time // literal_column(str(HOURS), Integer)
        at = [(day if unit == "day" else _month(day, within)).label("at")]
    sums = (table.c[name] if part.sign > 0 else (-table.c[name]).label(name) for name in SUMS)
    ranges = or_(*((time >= low) & (time < high) for low, high in part.ranges))
    return select(table.c.key, *at, *sums).where(ranges)


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
