"""Statements over the tables `exchanges` and `payloads`, in SQL that SQLite and Postgres share. No I/O here.

Times are ranges of ids (the primary key) and, for the microseconds inside the first and last millisecond, of `time_us`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, or_, select, tuple_

from collector.audit.moments import Span, first_id, past_id
from collector.audit.parameters import ExchangeQuery, Flags, Statuses
from collector.messages.completeness import INCOMPLETE, Completeness
from collector.messages.event import Place
from collector.sinks.schema import exchanges, payloads, places

_column = exchanges.c
# Said as literals, in the words of the partial indexes: only then do the databases see that the indexes cover them.
_REVISED = _column.revision > literal_column("0")
_NOT_COMPLETE = _column.completeness.bitwise_and(literal_column("1")) == literal_column("0")
_FAILED = or_(_column.status.is_(None), _column.status >= literal_column("400"))


def page(query: ExchangeQuery, span: Span, behind: str | None, limit: int) -> Select[Any]:
    """A page (id, data) in the order of time, from behind the id `behind` on."""
    descending = query.order == "desc"
    wanted = conditions(query, span)
    if behind is not None:
        wanted.append(_column.id < behind if descending else _column.id > behind)
    order = _column.id.desc() if descending else _column.id.asc()
    return select(_column.id, _column.data).where(*wanted).order_by(order).limit(limit)


def stored_page(query: ExchangeQuery, span: Span, journal: str, low: Place, high: Place, limit: int) -> Select[Any]:
    """A page (position, ordinal, data) of one journal in the order of storage: behind `low`, up to and with `high`."""
    place = tuple_(_column.position, _column.ordinal)
    wanted = [_column.journal == journal, place > tuple_(*low), place <= tuple_(*high), *conditions(query, span)]
    return select(_column.position, _column.ordinal, _column.data).where(*wanted).order_by(_column.position, _column.ordinal).limit(limit)


def stored_places() -> Select[Any]:
    """The newest place (journal, position, ordinal) that the store holds of every journal."""
    return select(places.c.journal, places.c.position, places.c.ordinal).order_by(places.c.journal)


def conditions(query: ExchangeQuery, span: Span) -> list[ColumnElement[bool]]:
    """What an exchange must fulfil."""
    wanted = [*_in_time(span), *_equal(query)]
    if query.revisions == "newest":
        wanted.append(_column.superseded.is_(False))
    if query.path:
        wanted.append(_path(query.path))
    if query.method:
        wanted.append(_column.method.in_(query.method.upper().split(",")))
    if query.status:
        wanted += _status(query.status)
    if query.completeness:
        wanted += _flags(query.completeness)
    return wanted


def named(event: str) -> Select[Any]:
    """The exchange's id, of the event id of any of its revisions."""
    return select(_column.exchange).where(_column.id == event)


def revisions(exchange: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """The revisions of an exchange, the newest first, by the primary key and the index on revised ones."""
    ids = select(_column.id).where(_column.id == exchange).union_all(select(_column.id).where(_column.exchange == exchange, _REVISED))
    return select(*columns).where(_column.id.in_(ids)).order_by(_column.revision.desc())


def payload(ids: Sequence[str]) -> Select[Any]:
    """The newest payload among these event ids."""
    return select(payloads).where(payloads.c.id.in_(ids)).order_by(payloads.c.revision.desc()).limit(1)


def all_payloads(ids: Sequence[str]) -> Select[Any]:
    """Every payload among these event ids, requests first."""
    return select(payloads).where(payloads.c.id.in_(ids)).order_by(payloads.c.revision, payloads.c.type)


def _in_time(span: Span) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if span.since_us is not None:
        wanted += [_column.id >= first_id(span.since_us), _column.time_us >= span.since_us]
    if span.until_us is not None:
        wanted += [_column.id < past_id(span.until_us), _column.time_us < span.until_us]
    return wanted


def _equal(query: ExchangeQuery) -> list[ColumnElement[bool]]:
    asked = {
        _column.namespace: query.namespace,
        _column.service: query.service,
        _column.request_id: query.request_id,
        _column.node: query.node,
        _column.model: query.model,
        _column.caller: query.caller,
    }
    return [column == value for column, value in asked.items() if value is not None]


def _path(path: str) -> ColumnElement[bool]:
    """A prefix is compared as such: LIKE does not tell upper from lower case in SQLite."""
    if not path.endswith("*"):
        return _column.path == path
    prefix = path[:-1]
    return func.substr(_column.path, 1, len(prefix)) == prefix


def _status(asked: Statuses) -> list[ColumnElement[bool]]:
    either: list[ColumnElement[bool]] = [_column.status.between(c * 100, c * 100 + 99) for c in asked.classes]
    if asked.codes:
        either.append(_column.status.in_(asked.codes))
    if asked.absent:
        either.append(_column.status.is_(None))
    failed = all(code >= 400 for code in asked.codes) and all(c >= 4 for c in asked.classes)
    return [_FAILED, or_(*either)] if failed else [or_(*either)]


def _flags(asked: Flags) -> list[ColumnElement[bool]]:
    """A flag that says what is missing is never set together with `complete`."""
    mask = asked.present | asked.absent
    wanted = [_column.completeness.bitwise_and(int(mask)) == int(asked.present)]
    if asked.absent & Completeness.COMPLETE or asked.present & INCOMPLETE:
        wanted.append(_NOT_COMPLETE)
    return wanted
