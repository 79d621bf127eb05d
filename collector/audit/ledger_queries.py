"""Statements over the table `ledger`. No I/O here.

A proxy is a node id together with who sent in its name. Windows in which the collector was away are no proxy's, and asked for apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Label, Select, func, literal_column, or_, select, text, tuple_

from collector.access.looker import Reach
from collector.audit.looking import within
from collector.audit.moments import Span, first_id, past_id
from collector.audit.pages import PORTIONS, Portions
from collector.messages.ledger import BY_REASON, COUNTS, CURABLE, LOSSES
from collector.store.schema import AWAY, CURING, ledger
from collector.store.sql_types import Condition, Statement

Proxy = tuple[str, str]  # node id, sender

SUMMED = (*COUNTS, *BY_REASON)
_HALF = 32
_column = ledger.c
_proxy = tuple_(_column.node, _column.sender)


class Sought(NamedTuple):
    """Whose windows are asked for, and how far who asks may see."""

    node: str | None
    namespace: str | None
    reach: Reach
    portions: Portions = PORTIONS


def windows(query: Sought, span: Span, behind: tuple[int, str] | None, limit: int) -> Statement:
    """A page of windows, the newest first, behind the one that began at `behind[0]` µs with the id `behind[1]`."""
    wanted = conditions(query, span)
    if behind is not None:
        wanted.append(tuple_(_column.time_us, _column.id) < tuple_(*behind))
    return select(ledger).where(*wanted).order_by(_column.time_us.desc(), _column.id.desc()).limit(limit)


def proxies(query: Sought, span: Span, behind: Proxy | None, limit: int) -> Statement:
    """A page of proxies with their windows summed, by node id."""
    wanted = conditions(query, span)
    if behind is not None:
        wanted.append(_proxy > tuple_(*behind))
    last = [func.max(_column[name]).label(name) for name in ("namespace", "workload")]
    by = (_column.node, _column.sender)
    return select(*by, *last, *_sums(SUMMED), *_extent()).where(*wanted).group_by(*by).order_by(*by).limit(limit)


def cells(query: Sought, span: Span, start_us: int, step_us: int) -> Statement:
    """The windows of each proxy summed by stretches of `step_us` behind `start_us`: `step` is a stretch's number."""
    step = ((_column.time_us - literal_column(str(start_us))) // literal_column(str(step_us))).label("step")
    names = [func.max(_column[name]).label(name) for name in ("namespace", "workload")]
    by = (_column.node, _column.sender, step)
    return select(*by, *names, *_sums(SUMMED)).where(*conditions(query, span)).group_by(*by).order_by(*by)


def totals(query: Sought, span: Span) -> Statement:
    """Everything that matches, summed in one row."""
    each = select(_column.node, _column.sender).where(*conditions(query, span)).distinct().subquery()
    count = select(func.count()).select_from(each).scalar_subquery().label("proxies")
    return select(count, *_sums(SUMMED), *_extent()).where(*conditions(query, span))


def log_only(query: Sought, span: Span) -> Select[int]:
    """How many proxies announced nothing, although their access logs came."""
    announced, logged = func.max(_column.announced), func.max(_column.access_log_entries)
    each = select(_column.node).where(*conditions(query, span)).group_by(_column.node, _column.sender).having(announced == 0, logged > 0)
    return select(func.count()).select_from(each.subquery())


def losers(query: Sought, span: Span) -> Statement:
    """Of each proxy that lost anything at all: what, before cures."""
    lost = or_(*(_column[name] != 0 for name in LOSSES))
    return select(_column.node, _column.sender, *_sums(LOSSES)).where(*conditions(query, span), lost).group_by(_column.node, _column.sender)


def reasons(query: Sought, span: Span, of: Sequence[Proxy] | None) -> Statement:
    """Of the windows with losses by reason, of these proxies or of all: whose, how many, and the JSON that the reasons are in."""
    wanted = [*conditions(query, span), or_(*(_column[name] != 0 for name in BY_REASON)), *_of(of)]
    return select(_column.node, _column.sender, *(_column[name] for name in BY_REASON), _column.data).where(*wanted)


def cures(query: Sought, span: Span, of: Sequence[Proxy] | None) -> Select[str, str, bytes]:
    """(node, sender, data) of windows that take back what earlier ones counted, for windows of the span. A cure never comes before its
    window, but however long after it, so the span's end does not bound them; nor does the namespace, which may be learnt in between.
    """
    wanted: list[Condition] = [text(CURING), *_of(of)]
    if query.node is not None:
        wanted.append(_column.node == query.node)
    if span.since_us is not None:
        wanted += [_column.id >= first_id(span.since_us), _column.time_us >= span.since_us]
    return select(_column.node, _column.sender, _column.data).where(*wanted)


def curable(query: Sought, span: Span, starts: Sequence[int], of: Sequence[Proxy] | None) -> Statement:
    """The windows of these proxies, or of all, that began at these times and counted something that can be cured, in a fixed order."""
    wanted = conditions(query, Span(min(starts), max(starts) + 1)) + conditions(query, span)
    wanted += [_column.time_us.in_(starts), or_(*(_column[name] > 0 for name in CURABLE)), *_of(of)]
    counted = [_column[name] for name in CURABLE]
    return select(_column.id, _column.node, _column.sender, _column.time_us, *counted).where(*wanted).order_by(_column.id)


def away(span: Span, limit: int) -> Statement:
    """The windows in which the collector was away, as far as they lie in the span, the newest first."""
    return (
        select(_column.away_from_us, _column.away_to_us, _column.data)
        .where(*_away(span))
        .order_by(_column.away_from_us.desc())
        .limit(limit)
    )


def times_away(span: Span) -> Select[int]:
    """How many there are."""
    return select(func.count()).select_from(ledger).where(*_away(span))


def ends(query: Sought, span: Span) -> Statement:
    """Of each journal that has windows in the span: how far they reach, whatever proxy they are of among those that may be seen."""
    end = func.max(_column.time_us + _column.window_us).label("end_us")
    wanted = (*_within(span), _column.away_from_us.is_(None), _column.window_us > 0, within(query.reach, ledger))
    return select(end).where(*wanted).group_by(_column.journal)


def conditions(query: Sought, span: Span) -> list[ColumnElement[bool]]:
    """What a window must fulfil."""
    wanted = [*_within(span), _column.away_from_us.is_(None), within(query.reach, ledger)]
    if query.node is not None:
        wanted.append(_column.node == query.node)
    if query.namespace is not None:
        wanted.append(_column.namespace == query.namespace)
    return wanted


def whole(row: object, name: str) -> int:
    """A sum of `halves`. Postgres sums to decimals, and no rows to none."""
    return (int(getattr(row, f"{name}_high") or 0) << _HALF) + int(getattr(row, f"{name}_low") or 0)


def halves(name: str) -> list[Label[int]]:
    """A column summed in two halves: a sum of numbers of 64 bits has more, which SQLite refuses."""
    high = func.sum(_column[name].bitwise_rshift(literal_column(str(_HALF))))
    low = func.sum(_column[name].bitwise_and(literal_column(str((1 << _HALF) - 1))))
    return [high.label(f"{name}_high"), low.label(f"{name}_low")]


def _sums(names: Iterable[str]) -> list[Label[int]]:
    return [half for name in names for half in halves(name)]


def _extent() -> list[Label[int]]:
    last = func.max(_column.time_us + _column.window_us).label("last_us")
    return [func.count().label("windows"), func.min(_column.time_us).label("first_us"), last]


def _within(span: Span) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if span.since_us is not None:
        wanted += [_column.id >= first_id(span.since_us), _column.time_us >= span.since_us]
    if span.until_us is not None:
        wanted += [_column.id < past_id(span.until_us), _column.time_us < span.until_us]
    return wanted


def _away(span: Span) -> list[Condition]:
    wanted: list[Condition] = [text(AWAY)]
    if span.since_us is not None:
        wanted.append(_column.away_to_us >= span.since_us)
    if span.until_us is not None:
        wanted.append(_column.away_from_us < span.until_us)
    return wanted


def _of(proxies: Sequence[Proxy] | None) -> list[ColumnElement[bool]]:
    return [_proxy.in_(proxies)] if proxies is not None else []
