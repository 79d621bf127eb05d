"""What filters by marks and by numbers ask for, and the statements over the index of marks: batches (store/postings.py) and runs
(store/mark_runs.py). No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    LargeBinary,
    Select,
    TextClause,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    text,
)

from collector.audit.hints import Position
from collector.audit.numbers import Range
from collector.audit.parameters import ExchangeFilters
from collector.audit.values import pairs as pairs_told
from collector.messages.marks import line, mark
from collector.store.mark_runs import bounds
from collector.store.postings import bucket_of
from collector.store.schema import UNMARKED, exchanges, mark_runs, marks

_column = exchanges.c
_SINGLE = ("session", "trace", "user", "consumer", "agent", "tool")
_LISTED = ("finish_reason", "operation", "protocol")
_PAIRS = ("annotation", "label")
_NUMBERS: Mapping[str, ColumnElement[object]] = {
    "duration": _column.duration_us,
    "first_token": _column.first_token_us,
    "tokens": _column.tokens,
    "size": func.coalesce(_column.request_bytes, 0) + func.coalesce(_column.response_bytes, 0),
}
Group = tuple[str, ...]  # marks of which one must be there

# These are asked several times for one page: as texts they cost their writer nothing.
_RUNS_FROM = "SELECT run, low, high, count AS exchanges FROM mark_runs WHERE run > :behind AND high > :low AND low < :high"
_RUNS = text(_RUNS_FROM)
# Steps from one bucket that exists to the next: what lies between costs nothing.
_BUCKETS_FROM = """
WITH RECURSIVE b(n) AS (
  SELECT max(bucket) FROM marks WHERE bucket <= :last
  UNION ALL SELECT (SELECT max(m.bucket) FROM marks m WHERE m.bucket < b.n) FROM b WHERE b.n >= :first
) SELECT n AS bucket{more} FROM b WHERE n >= :first
"""
_BUCKETS = text(_BUCKETS_FROM.format(more=""))
# One statement, so all is of one moment.
_SOURCES = text(f"""
{_BUCKETS_FROM.format(more=", 0 AS run, '' AS low, '' AS high, 0 AS exchanges")}
UNION ALL SELECT NULL AS bucket, run, low, high, exchanges FROM ({_RUNS_FROM}) r
""")
_LIST = {
    "sqlite": "(SELECT value AS number FROM json_each(:{name})) asked",
    "postgresql": "unnest(CAST(:{name} AS bigint[])) asked(number)",
}
_WITHIN = {"sqlite": "instr({whole}, :mark)", "postgresql": "position(:mark IN {whole})"}
_PAIRS_FROM = """
SELECT before.run, before.told FROM (
  SELECT asked.number AS run,
    (SELECT p.told FROM mark_pairs p WHERE p.run = asked.number AND p.first <= :first ORDER BY p.first DESC LIMIT 1) AS told
  FROM {runs}
) before WHERE {position} > 0
UNION ALL SELECT p.run, p.told FROM {runs} JOIN mark_pairs p ON p.run = asked.number AND p.first > :first AND p.first <= :last
UNION ALL SELECT max(run), NULL FROM mark_runs
"""
_PAIRS_IN = {
    dialect: text(_PAIRS_FROM.format(runs=runs.format(name="runs"), position=_WITHIN[dialect].format(whole="before.told")))
    for dialect, runs in _LIST.items()
}
_IDS_IN = {
    dialect: text(f"SELECT part, ids FROM mark_ids WHERE part IN (SELECT asked.number FROM {parts.format(name='parts')})")
    for dialect, parts in _LIST.items()
}
Asking = tuple[TextClause, Mapping[str, object]]


def groups(query: ExchangeFilters) -> list[Group]:
    """The marks that are asked for, those first that few exchanges have as a rule."""
    found: list[Group] = [(mark(name, value),) for name in _SINGLE if (value := getattr(query, name)) is not None]
    for name in _PAIRS:
        if (value := getattr(query, name)) is not None:
            found += [(mark(name, pair),) for pair in pairs_told(value)]
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
    return bool(groups(query)) or any(getattr(query, name) is not None for name in _NUMBERS) or query.text is not None


def is_one(query: ExchangeFilters) -> bool:
    """Whether one mark, or one number, is asked for at most."""
    return len(groups(query)) + len(_ranges(query)) <= 1


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


def buckets(first: int, last: int) -> Asking:
    """The buckets between these, both included, that batches are in."""
    return _BUCKETS, {"first": first, "last": last}


def sources(low: str, high: str) -> Asking:
    """The buckets that batches are in, and the runs, with exchanges between these ids, both excluded; of a run `bucket` is none."""
    return _SOURCES, {"first": bucket_of(low), "last": bucket_of(high), "low": low, "high": high, "behind": 0}


def batches(hashes: Sequence[bytes], found: Sequence[int]) -> CompoundSelect[bytes | None, int | None]:
    """Of the batches of these buckets those in which a mark with one of the hashes may be. One more row without any says the last run that
    there is.
    """
    either = or_(*(Position(marks.c.hashes, literal(one)) > 0 for one in hashes))
    told = select(marks.c.told, cast(null(), BigInteger).label("run")).where(marks.c.bucket.in_(found), either)
    return told.union_all(select(cast(null(), LargeBinary), func.coalesce(func.max(mark_runs.c.run), 0)))


def runs(low: str, high: str, behind: int) -> Asking:
    """The runs with exchanges between these ids, both excluded, that were made behind the run `behind`."""
    return _RUNS, {"low": low, "high": high, "behind": behind}


def pairs(wanted: bytes, among: Sequence[int], dialect: str) -> Asking:
    """Of these runs the rows in which the mark's hash may be: the last that begins before it, and those that begin with it. One more row
    without any says the last run that there is.
    """
    first, last = bounds(wanted)
    return _PAIRS_IN[dialect], {"runs": _listed(among, dialect), "first": first, "last": last, "mark": wanted}


def ids(parts: Sequence[int], dialect: str) -> Asking:
    """The ids in these rows."""
    return _IDS_IN[dialect], {"parts": _listed(parts, dialect)}


def _listed(numbers: Sequence[int], dialect: str) -> object:
    return list(numbers) if dialect == "postgresql" else orjson.dumps(list(numbers)).decode()


def newest_unmarked(seen: ColumnElement[bool]) -> Select[int]:
    """The newest exchange, of those that who asks may see, that has no marks yet: up to it a filter by marks may miss some."""
    return select(_column.time_us).where(text(f"({UNMARKED})"), seen).order_by(_column.id.desc()).limit(1)


def _ranges(query: ExchangeFilters) -> list[tuple[ColumnElement[object], Range]]:
    return [(column, wanted) for name, column in _NUMBERS.items() if (wanted := getattr(query, name)) is not None]
