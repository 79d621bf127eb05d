"""What filters by marks and by numbers ask for, and the statements over the index of marks (store/postings.py). No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Select, TextClause, func, literal, or_, select, text

from collector.audit.hints import Position
from collector.audit.numbers import Range
from collector.audit.parameters import ExchangeFilters
from collector.audit.values import pairs
from collector.messages.marks import line, mark
from collector.store.schema import UNMARKED, exchanges, marks
from collector.store.sql_types import Statement

_column = exchanges.c
_SINGLE = ("session", "trace", "user", "consumer", "agent", "tool")
_LISTED = ("finish_reason", "operation", "protocol")
_PAIRS = ("annotation", "label")
Group = tuple[str, ...]  # marks of which one must be there

# Steps from one bucket that exists to the next, so that dates far ahead cost nothing.
_BUCKETS = {
    "desc": """
WITH RECURSIVE b(n, i) AS (
  SELECT max(bucket), 1 FROM marks WHERE bucket <= :start
  UNION ALL SELECT (SELECT max(m.bucket) FROM marks m WHERE m.bucket < b.n), i + 1 FROM b WHERE b.n IS NOT NULL AND i < :most
) SELECT n FROM b WHERE n IS NOT NULL AND n >= :end
""",
    "asc": """
WITH RECURSIVE b(n, i) AS (
  SELECT min(bucket), 1 FROM marks WHERE bucket >= :start
  UNION ALL SELECT (SELECT min(m.bucket) FROM marks m WHERE m.bucket > b.n), i + 1 FROM b WHERE b.n IS NOT NULL AND i < :most
) SELECT n FROM b WHERE n IS NOT NULL AND n <= :end
""",
}


def groups(query: ExchangeFilters) -> list[Group]:
    """The marks that are asked for, those first that few exchanges have as a rule."""
    found: list[Group] = [(mark(name, value),) for name in _SINGLE if (value := getattr(query, name)) is not None]
    for name in _PAIRS:
        if (value := getattr(query, name)) is not None:
            found += [(mark(name, pair),) for pair in pairs(value)]
    for name in _LISTED:
        if (value := getattr(query, name)) is not None:
            found.append(tuple(mark(name, one) for one in value.split(",")))
    if query.policy is not None:
        found.append((mark("policy", query.policy),))
    if query.streamed is not None:
        found.append(("streamed:true" if query.streamed else "streamed:false",))
    return found


def is_bounded(query: ExchangeFilters) -> bool:
    """Whether the query asks for what no b-tree index has (texts, too): then it is looked for in steps (marked.py)."""
    return bool(groups(query) or _ranges(query) or query.text is not None)


def conditions(query: ExchangeFilters) -> list[ColumnElement[bool]]:
    """What an exchange must fulfil, exactly, whatever the index says."""
    wanted: list[ColumnElement[bool]] = [
        or_(*(Position(_column.marks, literal(line(one))) > 0 for one in group)) for group in groups(query)
    ]
    for column, asked in _ranges(query):
        if asked.low is not None:
            wanted.append(column >= asked.low)
        if asked.high is not None:
            wanted.append(column <= asked.high)
    if query.size is not None:
        wanted.append(or_(_column.request_bytes.is_not(None), _column.response_bytes.is_not(None)))
    return wanted


def buckets(descending: bool, start: int, end: int, most: int) -> tuple[TextClause, Mapping[str, int]]:
    """The next buckets that there are, from `start` on to `end`."""
    return text(_BUCKETS["desc" if descending else "asc"]), {"start": start, "end": end, "most": most}


def rows(hashes: Sequence[bytes], found: Sequence[int]) -> Statement:
    """Of the batches of these buckets those in which a mark with one of the hashes may be."""
    either = or_(*(Position(marks.c.hashes, literal(one)) > 0 for one in hashes))
    return select(marks.c.told).where(marks.c.bucket.in_(found), either)


def newest_unmarked(seen: ColumnElement[bool]) -> Select[int]:
    """The newest exchange, of those that who asks may see, that has no marks yet: up to it a filter by marks may miss some."""
    return select(_column.time_us).where(text(f"({UNMARKED})"), seen).order_by(_column.id.desc()).limit(1)


def _ranges(query: ExchangeFilters) -> list[tuple[ColumnElement[object], Range]]:
    size = func.coalesce(_column.request_bytes, 0) + func.coalesce(_column.response_bytes, 0)
    asked = (
        (_column.duration_us, query.duration),
        (_column.first_token_us, query.first_token),
        (_column.tokens, query.tokens),
        (size, query.size),
    )
    return [(column, wanted) for column, wanted in asked if wanted is not None]
