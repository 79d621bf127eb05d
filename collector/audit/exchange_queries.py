"""Statements over the tables `exchanges` and `payloads`, in SQL that SQLite and Postgres share. No I/O here.

Times are ranges of ids (the primary key) and, for microseconds inside the first and last millisecond, of `time_us`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from string import hexdigits
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, false, func, literal_column, or_, select, true, tuple_, union

from collector.access.looker import EVERYTHING, Reach
from collector.audit import mark_queries
from collector.audit.hints import Aside, Hint, in_words
from collector.audit.looking import each_within, within
from collector.audit.moments import Span, first_id, past_id
from collector.audit.pages import PORTIONS
from collector.audit.parameters import ExchangeFilters, ExchangeQuery, ExportQuery
from collector.audit.values import LARGEST, LARGEST_ORDINAL, Flags, Statuses
from collector.describe.record import call_id
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
from collector.store.sql_types import Condition, Statement

_column = exchanges.c
_MASKED = 14  # the character that describe.record.call_id masks
COUNTED = 10_000  # of each value that is asked for, where several are: the rarest is looked for first
InTime = ExchangeQuery | ExportQuery  # what is read in the order of time
REACH, WHOLE = "reach", Span()

# Of a damaged row: the first revision's id is the exchange's.
NAMED = func.coalesce(_column.exchange, _column.id).label("exchange")
NUMBERED = func.coalesce(_column.revision, 0).label("revision")
# Said as a literal, in the words of the partial index: only then do the databases see that the index covers it.
_REVISED = _column.revision > literal_column("0")


def request_ids(asked: str) -> list[str]:
    """All request ids that are the same call's: Envoy writes its tracing decision into one character of a UUID."""
    masked = call_id(asked)
    if masked[_MASKED : _MASKED + 1] != "x" or call_id(asked[:_MASKED] + "0" + asked[_MASKED + 1 :]) != masked:
        return [asked]
    return sorted({asked} | {asked[:_MASKED] + digit + asked[_MASKED + 1 :] for digit in hexdigits})


def hops(asked: str, span: Span, limit: int, reach: Reach = EVERYTHING) -> Statement:
    """(id, exchange, time_us, duration_us, crc, data) of the newest revisions, in the order of time, by the index on request ids.

    The order is by an expression: asked for the order of a key, a database may choose to look through all that is stored in that order.
    """
    wanted: list[ColumnElement[bool]] = [_column.request_id.in_(request_ids(asked)), _column.superseded.is_(False)]
    wanted.append(within(reach, exchanges, Aside))
    if span.since_us is not None:
        wanted += [_column.id >= first_id(span.since_us), _column.time_us >= span.since_us]
    if span.until_us is not None:
        wanted += [_column.id < past_id(span.until_us), _column.time_us < span.until_us]
    found = select(_column.id, _column.exchange, _column.time_us, _column.duration_us, _column.crc, _column.data).where(*wanted)
    return found.order_by(_column.id.concat("")).limit(limit)


class Way(Enum):
    """How a page is to be found in the order of time. SQLite keeps no statistics of values. Postgres plans by itself, but for one value."""

    AS_PLANNED = auto()
    SORTED = auto()  # few rows in a range of values (paths that begin so, a class of statuses): their ids are sorted, then the page is read
    BY_RANGE = auto()  # the same, where the rows are small: they are sorted themselves
    LOOKED_THROUGH = auto()  # many in a range: the rows in order of time, until the page is full
    BY_VALUE = auto()  # the rows of one value by its index: Postgres takes it for evenly spread, and looks through all that is newer
    MERGED = auto()  # of each owner in a reach the rows in order of time, until the page is full


def beyond(query: ExchangeFilters, reach: Reach) -> Reach:
    """What of the reach the query does not say itself."""
    if reach.everything or query.namespace is None:
        return reach
    return EVERYTHING if query.namespace in reach.namespaces else Reach(consumers=reach.consumers)


def page(
    query: InTime,
    span: Span,
    behind: str | None,
    limit: int,
    way: Way = Way.AS_PLANNED,
    edge: str | None = None,
    leading: str | None = None,
    reach: Reach = EVERYTHING,
    also: Sequence[Condition] = (),
) -> Statement:
    """A page (id, exchange, crc, data) in the order of time, from behind the id `behind` on, up to and with `edge`.

    `leading`: which of the values asked for SQLite is to look for first; None: as it likes. `also`: what must hold beside the filters.
    """
    descending = query.order == "desc"
    wanted = [*conditions(query, span, way, leading, EVERYTHING if way is Way.MERGED else reach), *also]
    key = _key(query, way)
    if behind is not None:
        wanted.append(key < behind if descending else key > behind)
    if edge is not None:
        wanted.append(key >= edge if descending else key <= edge)
    order = _column.id.desc() if descending else _column.id.asc()
    if way in (Way.SORTED, Way.MERGED):
        ids = exchanges.alias("found")
        owners: list[Condition] = [true()] if way is Way.SORTED else list(each_within(reach, exchanges)) or [false()]
        inner = _first([select(_column.id).where(owner, *wanted).order_by(order).limit(limit) for owner in owners], descending, limit)
        sought = select(ids.c.id, ids.c.exchange, ids.c.crc, ids.c.data).where(ids.c.id.in_(inner))
        return sought.order_by(ids.c.id.desc() if descending else ids.c.id.asc())
    one = one_value(query) if way is Way.BY_VALUE else None
    before = [] if one is None else [one.said.desc() if descending else one.said.asc()]  # the order of that index, and of no other
    return select(_column.id, _column.exchange, _column.crc, _column.data).where(*wanted).order_by(*before, order).limit(limit)


def _first(each: list[Statement], descending: bool, limit: int) -> Statement:
    """The first ids of several lists of ids in the order of time, each once."""
    if len(each) == 1:
        return select(each[0].subquery().c.id)
    together = union(*(select(one.subquery().c.id) for one in each)).subquery()
    return select(together.c.id).order_by(together.c.id.desc() if descending else together.c.id.asc()).limit(limit)


def edge_of(query: InTime, span: Span, behind: str | None, looked_at: int) -> Select[str]:
    """The id of the last row that is looked at in the order of time; none if there are fewer."""
    descending = query.order == "desc"
    wanted = _ids_of(span)
    if behind is not None:
        wanted.append(_column.id < behind if descending else _column.id > behind)
    return select(_column.id).where(*wanted).order_by(_column.id.desc() if descending else _column.id.asc()).offset(looked_at - 1).limit(1)


def size_of_range(query: ExchangeFilters, most: int = PORTIONS.sorted_rows) -> Select[int] | None:
    """How many exchanges are in the range of values that is asked for, counted up to `most`; None: it is no range, or no index has it."""
    wanted = _range(query)
    return _counted(wanted, most) if wanted and _is_indexed(query) else None


def sizes_of_values(query: ExchangeFilters, reach: Reach = EVERYTHING, span: Span = WHOLE) -> Statement | None:
    """A row: by name, how many of the span have each value that is asked for, counted up to COUNTED; None: it is one, or none.

    What lies within a limited reach counts as one of the values, by the name REACH.
    """
    asked, ids = _values(query), _ids_of(span)
    if not reach.everything:
        asked[REACH] = lambda _: [within(reach, exchanges)]
        if (flags := query.completeness) and (flags.present & ~Completeness.COMPLETE or flags.absent & Completeness.COMPLETE):
            asked["completeness"] = lambda _: _flags(flags)  # partial indexes hold these
    if len(asked) < 2 or query.request_id is not None:
        return None
    return select(*(_counted([*make(False), *ids], COUNTED).scalar_subquery().label(name) for name, make in asked.items()))


def size_within(reach: Reach, most: int = PORTIONS.sorted_rows) -> Select[int]:
    """How many exchanges lie within a limited reach, counted up to `most`."""
    return _counted([within(reach, exchanges)], most)


def _counted(wanted: Sequence[Condition], most: int) -> Select[int]:
    return select(func.count()).select_from(select(_column.id).where(*wanted).limit(most).subquery())


def _is_indexed(query: ExchangeFilters) -> bool:
    """Whether indexes hold the statuses and methods that are asked for: they do not hold the usual ones."""
    usual = query.status is not None and (200 in query.status.codes or 2 in query.status.classes)
    return not usual and not (query.method and "POST" in query.method.upper().split(","))


def stored_page(
    query: ExchangeQuery, span: Span, journal: str, low: Place, high: Place, limit: int, reach: Reach = EVERYTHING, few: bool = False
) -> Statement:
    """A page (position, ordinal, id, exchange, crc, data) of one journal in the order of storage: behind `low`, up to and with `high`.

    `few`: as few rows lie within the reach as can be sorted.
    """
    place = tuple_(_column.position, _column.ordinal)
    between = [place > tuple_(*low), place <= tuple_(*high), *placed()]
    wanted: list[Condition] = [*between, *_of_journal(journal, reach, few), *conditions(query, span)]
    columns = (_column.position, _column.ordinal, _column.id, _column.exchange, _column.crc, _column.data)
    return select(*columns).where(*wanted).order_by(_column.position, _column.ordinal).limit(limit)


def stored_places() -> Statement:
    """The newest place (journal, position, ordinal) that the store holds of every journal."""
    return select(places.c.journal, places.c.position, places.c.ordinal).order_by(places.c.journal)


def newest_place(journal: str, reach: Reach, few: bool) -> Statement:
    """The newest place (position, ordinal) of what lies within a limited reach: that of the journal tells how much others have."""
    newest = (_column.position.desc(), _column.ordinal.desc())
    return select(_column.position, _column.ordinal).where(*placed(), *_of_journal(journal, reach, few)).order_by(*newest).limit(1)


def placed() -> list[Condition]:
    """Rows that have a place: of a damaged one SQLite may read a text or bytes there, which sort behind all numbers."""
    return [_column.position <= LARGEST, _column.ordinal <= LARGEST_ORDINAL]


def _of_journal(journal: str, reach: Reach, few: bool) -> list[Condition]:
    """Few rows of a reach SQLite is to find by their owners, many by their place."""
    if reach.everything:
        return [_column.journal == journal]
    return [(Aside(_column.journal) if few else _column.journal) == journal, within(reach, exchanges, None if few else Aside)]


def conditions(
    query: ExchangeFilters, span: Span, way: Way = Way.AS_PLANNED, leading: str | None = None, reach: Reach = EVERYTHING
) -> list[Condition]:
    """What an exchange must fulfil."""
    wanted: list[Condition] = list(_in_time(span, _key(query, way)))
    if not reach.everything:
        wanted.append(within(reach, exchanges, Aside))
    one = one_value(query) if way is Way.BY_VALUE else None
    for name, make in _values(query).items():
        made = make(leading is not None and name != leading)
        # Said as a range of one: Postgres does not see then that the order of the value and the id is that of the id.
        wanted += [one.said >= one.value, one.said <= one.value, *made[1:]] if one is not None and name == one.name else made
    if query.request_id is not None:
        wanted.append(_column.request_id.in_(request_ids(query.request_id)))
    if getattr(query, "revisions", "all") == "newest":
        wanted.append(_column.superseded.is_(False))
    ranged = _range(query)
    if ranged and way in (Way.LOOKED_THROUGH, Way.MERGED):
        ranged = [and_(*ranged).op("IS")(true())]  # no index serves a condition said so
    wanted += ranged
    if query.method and "," not in query.method:
        wanted += _methods(query.method)
    if query.status and query.status.is_one and not _is_indexed(query):
        wanted += _status(query.status)
    if query.completeness:
        wanted += _flags(query.completeness)
    wanted += mark_queries.conditions(query)
    return wanted


def _values(query: ExchangeFilters) -> dict[str, Callable[[bool], list[Condition]]]:
    """By name, the conditions of each value that has an index. Each can be made so that SQLite does not take it (`aside`)."""
    plain: dict[str, tuple[ColumnElement[object], str | None]] = {
        "namespace": (_column.namespace, query.namespace),
        "service": (_column.service, query.service),
        "node": (_column.node, query.node),
        "caller": (_column.caller, query.caller),
    }
    made: dict[str, Callable[[bool], list[Condition]]] = {
        name: partial(_is, column, value) for name, (column, value) in plain.items() if value is not None
    }
    if query.model is not None:
        made["model"] = partial(_beginning, _column.model, model_beginning, query.model)
    if query.path and not query.path.endswith("*"):
        made["path"] = partial(_beginning, _column.path, path_beginning, query.path)
    if query.status and query.status.is_one and _is_indexed(query):
        made["status"] = partial(_status, query.status)
    return made


class OneValue(NamedTuple):
    """A value that is asked for: by which name, what the index has of it, and that."""

    name: str
    said: ColumnElement[object]
    value: str


def one_value(query: ExchangeFilters) -> OneValue | None:
    """The value that has an index, where nothing else is asked for but times and revisions; a service may have its namespace."""
    if query.status or query.method or query.completeness or query.request_id is not None or _range(query):
        return None
    names = [name for name in _values(query) if name != "namespace" or query.service is None]
    if len(names) != 1:
        return None
    name = names[0]
    said = {"model": model_beginning, "path": path_beginning}.get(name, _column[name])
    return OneValue(name, said, str(getattr(query, name))[: None if said is _column[name] else INDEXED])


def _is(column: ColumnElement[object], value: str, aside: bool) -> list[Condition]:
    return [(Aside(column) if aside else column) == value]


def _range(query: ExchangeFilters) -> list[Condition]:
    """The conditions that an index finds in another order than that of time."""
    wanted: list[Condition] = []
    if query.path and query.path.endswith("*"):
        wanted += _paths(query.path[:-1])
    if query.method and "," in query.method:
        wanted += _methods(query.method)
    if query.status and not query.status.is_one:
        wanted += _status(query.status)
    return wanted


def named(event: str, reach: Reach = EVERYTHING) -> Select[str]:
    """The exchange's id, of the event id of any of its revisions."""
    return select(NAMED).where(_column.id == event, within(reach, exchanges, Aside))


def revisions(exchange: str, *columns: ColumnElement[object] | ColumnElement[bool], reach: Reach = EVERYTHING) -> Statement:
    """The revisions of an exchange, the newest first, by the primary key and the index on revised ones."""
    near = (_column.id >= exchange[:14], _column.id < exchange[:13] + ".")  # their ids all begin like the first one's: one partition
    revised = select(_column.id).where(_column.exchange == exchange, _REVISED, *near)
    ids = select(_column.id).where(_column.id == exchange).union_all(revised)
    return select(*columns).where(_column.id.in_(ids), *near, within(reach, exchanges, Aside)).order_by(_column.revision.desc())


def payload(ids: Sequence[str]) -> Statement:
    """The newest payload among these event ids."""
    return select(payloads).where(payloads.c.id.in_(ids)).order_by(payloads.c.revision.desc()).limit(1)


def all_payloads(ids: Sequence[str]) -> Statement:
    """Every payload among these event ids, requests first."""
    return select(payloads).where(payloads.c.id.in_(ids)).order_by(payloads.c.revision, payloads.c.type)


def _key(query: ExchangeFilters, way: Way) -> ColumnElement[str]:
    """The id in conditions. Of a span with two ends SQLite would look through all rows, in place of the few in a range of values; beside
    one value alone it takes the index of that, from the span's one end to the other.
    """
    by_range = way in (Way.SORTED, Way.BY_RANGE) and not _values(query) and query.request_id is None and not query.completeness
    return Aside(_column.id) if by_range else _column.id


def _in_time(span: Span, key: ColumnElement[str]) -> list[ColumnElement[bool]]:
    wanted = _ids_of(span, key)
    if span.since_us is not None:
        wanted.append(_column.time_us >= span.since_us)
    if span.until_us is not None:
        wanted.append(_column.time_us < span.until_us)
    return wanted


def _ids_of(span: Span, key: ColumnElement[str] = _column.id) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if span.since_us is not None:
        wanted.append(key >= first_id(span.since_us))
    if span.until_us is not None:
        wanted.append(key < past_id(span.until_us))
    return wanted


def _beginning(column: ColumnElement[object], beginning: ColumnElement[object], value: str, aside: bool) -> list[Condition]:
    """That the column is the value, in the words of the index on its beginning. A condition said twice would be counted as two."""
    said = Aside(beginning) if aside else beginning
    return [said == value] if len(value) < INDEXED else [said == value[:INDEXED], column == value]


def _paths(prefix: str) -> list[Condition]:
    """Paths that begin so: a range, as both databases compare by code points (LIKE does not tell upper from lower case in SQLite)."""
    wanted: list[Condition] = [path_beginning >= prefix[:INDEXED], *(path_beginning < end for end in _behind(prefix[:INDEXED]))]
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


def _status(asked: Statuses, aside: bool = False) -> list[Condition]:
    status = Aside(_column.status) if aside else _column.status
    either: list[ColumnElement[bool]] = [status.between(c * 100, c * 100 + 99) for c in asked.classes]
    if asked.codes:
        either.append(status.in_(asked.codes))
    if asked.absent:
        either.append(status.is_(None))
    odd = [] if aside or 200 in asked.codes or 2 in asked.classes else [Hint(ODD_STATUS)]
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
