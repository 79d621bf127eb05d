"""Statements over the tables `exchanges` and `payloads`, in SQL that SQLite and Postgres share. No I/O here.

Times are ranges of ids (the primary key) and, for the microseconds inside the first and last millisecond, of `time_us`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, and_, func, literal_column, or_, select, true, tuple_

from collector.audit.hints import Aside, Hint, in_words
from collector.audit.moments import Span, first_id, past_id
from collector.audit.parameters import ExchangeQuery, Flags, Statuses
from collector.messages.completeness import Completeness
from collector.messages.event import Place
from collector.store.schema import (
    FLAGGED,
    INDEXED,
    NOT_COMPLETE,
    ODD_METHOD,
    ODD_STATUS,
    exchanges,
    model_beginning,
    path_beginning,
    payloads,
    places,
)

Condition = ColumnElement[Any] | TextClause

MANY = 4_000  # rows of a range that SQLite sorts in about the time in which it looks through its rows in order until a page is full

_column = exchanges.c
# Said as a literal, in the words of the partial index: only then do the databases see that the index covers it.
_REVISED = _column.revision > literal_column("0")


class Way(Enum):
    """How a range of an index's values (paths that begin so, a class of statuses) is brought into the order of time."""

    AS_PLANNED = auto()  # Postgres knows from its statistics; without a range there is nothing to choose
    SORTED = auto()  # few rows: their ids are sorted, then those of the page are read
    LOOKED_THROUGH = auto()  # many: the rows in order of time, until the page is full


def page(query: ExchangeQuery, span: Span, behind: str | None, limit: int, way: Way = Way.AS_PLANNED) -> Select[Any]:
    """A page (id, crc, data) in the order of time, from behind the id `behind` on."""
    descending = query.order == "desc"
    wanted = conditions(query, span, way)
    if behind is not None:
        wanted.append(_column.id < behind if descending else _column.id > behind)
    order = _column.id.desc() if descending else _column.id.asc()
    if way is Way.SORTED:
        ids = exchanges.alias("found")
        inner = select(_column.id).where(*wanted).order_by(order).limit(limit).subquery()
        sought = select(ids.c.id, ids.c.crc, ids.c.data).where(ids.c.id.in_(select(inner.c.id)))
        return sought.order_by(ids.c.id.desc() if descending else ids.c.id.asc())
    return select(_column.id, _column.crc, _column.data).where(*wanted).order_by(order).limit(limit)


def size_of_range(query: ExchangeQuery) -> Select[Any] | None:
    """How many exchanges are in the range of values that is asked for, counted up to MANY; None: it is no range."""
    wanted = _range(query)
    return select(func.count()).select_from(select(_column.id).where(*wanted).limit(MANY).subquery()) if wanted else None


def stored_page(query: ExchangeQuery, span: Span, journal: str, low: Place, high: Place, limit: int) -> Select[Any]:
    """A page (position, ordinal, id, crc, data) of one journal in the order of storage: behind `low`, up to and with `high`."""
    place = tuple_(_column.position, _column.ordinal)
    wanted: list[Condition] = [_column.journal == journal, place > tuple_(*low), place <= tuple_(*high), *conditions(query, span)]
    columns = (_column.position, _column.ordinal, _column.id, _column.crc, _column.data)
    return select(*columns).where(*wanted).order_by(_column.position, _column.ordinal).limit(limit)


def stored_places() -> Select[Any]:
    """The newest place (journal, position, ordinal) that the store holds of every journal."""
    return select(places.c.journal, places.c.position, places.c.ordinal).order_by(places.c.journal)


def conditions(query: ExchangeQuery, span: Span, way: Way = Way.AS_PLANNED) -> list[Condition]:
    """What an exchange must fulfil."""
    wanted: list[Condition] = [*_in_time(span), *_equal(query)]
    if query.revisions == "newest":
        wanted.append(_column.superseded.is_(False))
    ranged = _range(query)
    if way is Way.LOOKED_THROUGH:
        ranged = [and_(*ranged).op("IS")(true())]  # no index serves a condition said so
    return [*wanted, *ranged, *_of_one_value(query)]


def _range(query: ExchangeQuery) -> list[Condition]:
    """The conditions that an index finds in another order than that of time."""
    wanted: list[Condition] = []
    if query.path and query.path.endswith("*"):
        wanted += _path(query.path)
    if query.method and "," in query.method:
        wanted += _methods(query.method)
    if query.status and not query.status.is_one:
        wanted += _status(query.status)
    return wanted


def _of_one_value(query: ExchangeQuery) -> list[Condition]:
    wanted: list[Condition] = []
    if query.path and not query.path.endswith("*"):
        wanted += _path(query.path)
    if query.method and "," not in query.method:
        wanted += _methods(query.method)
    if query.status and query.status.is_one:
        wanted += _status(query.status)
    if query.completeness:
        wanted += _flags(query.completeness)
    return wanted


def named(event: str) -> Select[Any]:
    """The exchange's id, of the event id of any of its revisions."""
    return select(_column.exchange).where(_column.id == event)


def revisions(exchange: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """The revisions of an exchange, the newest first, by the primary key and the index on revised ones."""
    near = (_column.id >= exchange[:14], _column.id < exchange[:13] + ".")  # their ids all begin like the first one's: one partition
    revised = select(_column.id).where(_column.exchange == exchange, _REVISED, *near)
    ids = select(_column.id).where(_column.id == exchange).union_all(revised)
    return select(*columns).where(_column.id.in_(ids), *near).order_by(_column.revision.desc())


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
    # An odd status is rarer than a namespace, and than a model that many use: SQLite is not to look for those first.
    odd = query.status is not None and query.status.is_one and 200 not in query.status.codes
    asked: list[tuple[ColumnElement[Any], str | None]] = [
        (Aside(_column.namespace) if odd else _column.namespace, query.namespace),
        (_column.service, query.service),
        (_column.request_id, query.request_id),
        (_column.node, query.node),
        (_column.caller, query.caller),
    ]
    wanted = [column == value for column, value in asked if value is not None]
    if query.model is not None:
        wanted += _beginning(_column.model, Aside(model_beginning) if odd else model_beginning, query.model)
    return wanted


def _beginning(column: ColumnElement[Any], beginning: ColumnElement[Any], value: str) -> list[ColumnElement[bool]]:
    """That the column is the value, in the words of the index on its beginning. A condition said twice would be counted as two."""
    if len(value) < INDEXED:
        return [beginning == value]
    return [beginning == value[:INDEXED], column == value]


def _path(path: str) -> list[ColumnElement[bool]]:
    """A prefix is a range, as both databases compare by code points (LIKE does not tell upper from lower case in SQLite)."""
    if not path.endswith("*"):
        return _beginning(_column.path, path_beginning, path)
    prefix = path[:-1]
    wanted = [path_beginning >= prefix[:INDEXED], *(path_beginning < end for end in _behind(prefix[:INDEXED]))]
    return wanted if len(prefix) < INDEXED else [*wanted, func.substr(_column.path, 1, len(prefix)) == prefix]


def _behind(prefix: str) -> list[str]:
    """The first text that sorts, by code points, behind all that begin so; none if there is no such text."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return []
    last = ord(kept[-1]) + 1
    return [kept[:-1] + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)]


def _methods(listed: str) -> list[Condition]:
    asked = listed.upper().split(",")
    odd = [] if "POST" in asked else [Hint(ODD_METHOD)]
    return [_column.method.in_(asked), *odd]


def _status(asked: Statuses) -> list[Condition]:
    either: list[ColumnElement[bool]] = [_column.status.between(c * 100, c * 100 + 99) for c in asked.classes]
    if asked.codes:
        either.append(_column.status.in_(asked.codes))
    if asked.absent:
        either.append(_column.status.is_(None))
    odd = [] if 200 in asked.codes or 2 in asked.classes else [Hint(ODD_STATUS)]
    return [or_(*either), *odd]


def _flags(asked: Flags) -> list[Condition]:
    """In the words of the partial indexes, as literals: only then do the databases see that they serve."""
    wanted: list[Condition] = [in_words(said) for flag, said in FLAGGED.items() if flag & asked.present]
    if asked.absent & Completeness.COMPLETE:
        wanted.append(in_words(NOT_COMPLETE))
    rest = (asked.present & Completeness.COMPLETE) | (asked.absent & ~Completeness.COMPLETE)
    if rest:
        wanted.append(_column.completeness.bitwise_and(int(rest)) == int(asked.present & rest))
    return wanted
