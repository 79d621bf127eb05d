"""Statements over the table `ledger`. No I/O here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from collector.audit.moments import Span, first_id, past_id
from collector.audit.parameters import LedgerQuery
from collector.sinks.schema import ledger

COUNTS = ("announced", "received", "dropped", "missing", "both", "tap_only", "access_log_only", "late")
_column = ledger.c


def windows(query: LedgerQuery, span: Span, behind: tuple[int, str] | None, limit: int) -> Select[Any]:
    """A page of windows, the newest first, behind the one that began at `behind[0]` µs with the id `behind[1]`."""
    wanted = conditions(query, span)
    if behind is not None:
        wanted.append(tuple_(_column.time_us, _column.id) < tuple_(*behind))
    return select(ledger).where(*wanted).order_by(_column.time_us.desc(), _column.id.desc()).limit(limit)


def proxies(query: LedgerQuery, span: Span, behind: str | None, limit: int) -> Select[Any]:
    """A page of proxies with their windows summed, by node id."""
    wanted = conditions(query, span)
    if behind is not None:
        wanted.append(_column.node > behind)
    last = [func.max(_column[name]).label(name) for name in ("namespace", "workload")]
    return select(_column.node, *last, *_sums()).where(*wanted).group_by(_column.node).order_by(_column.node).limit(limit)


def totals(query: LedgerQuery, span: Span) -> Select[Any]:
    """Everything that matches, summed in one row."""
    return select(func.count(_column.node.distinct()).label("proxies"), *_sums()).where(*conditions(query, span))


def reasons(query: LedgerQuery, span: Span, nodes: list[str] | None) -> Select[Any]:
    """(node, data) of the windows with drops, of these nodes or of all: the reasons are inside the JSON."""
    wanted = [*conditions(query, span), _column.dropped != 0]
    if nodes is not None:
        wanted.append(_column.node.in_(nodes))
    return select(_column.node, _column.data).where(*wanted)


def conditions(query: LedgerQuery, span: Span) -> list[ColumnElement[bool]]:
    """What a window must fulfil."""
    wanted: list[ColumnElement[bool]] = []
    if span.since_us is not None:
        wanted += [_column.id >= first_id(span.since_us), _column.time_us >= span.since_us]
    if span.until_us is not None:
        wanted += [_column.id < past_id(span.until_us), _column.time_us < span.until_us]
    if query.node is not None:
        wanted.append(_column.node == query.node)
    if query.namespace is not None:
        wanted.append(_column.namespace == query.namespace)
    return wanted


def _sums() -> list[ColumnElement[Any]]:
    sums = [func.sum(_column[name]).label(name) for name in COUNTS]
    return [
        *sums,
        func.count().label("windows"),
        func.min(_column.time_us).label("first_us"),
        func.max(_column.time_us + _column.window_us).label("last_us"),
    ]
