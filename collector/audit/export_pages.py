"""Reads an export page by page: records and, where they are asked for, bodies, as much at a time as a bound in bytes allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import Reach
from collector.audit.bodies import compare
from collector.audit.exchange_queries import NAMED, NUMBERED
from collector.audit.exchanges import InTime, in_time
from collector.audit.fixed import Fixed, as_of
from collector.audit.pages import PORTIONS, Page, Portions, Room
from collector.audit.parameters import ExportQuery
from collector.describe.identity import event_id
from collector.errors import DamagedError
from collector.messages.record import Record
from collector.store.events import payload_bytes
from collector.store.schema import exchanges, payloads
from collector.store.sql_types import FoundRow, Statement

_AT_ONCE = 1000  # ids in a statement
_UNTOLD = 16  # times its stored length a body is taken for whose size is not told


class Body(NamedTuple):
    """A stored body. `damaged`: why its bytes are not what passed; then there are none."""

    revision: int
    content_type: str | None
    content_encoding: str | None
    size: int | None
    verified: bool
    data: bytes
    damaged: str | None = None


class Item(NamedTuple):
    """An exchange of an export: its record as the API answers it, its bodies by `request` and `response`, and whether its texts are in."""

    id: str
    exchange: str
    record: bytes
    bodies: Mapping[str, Body]
    texts: bool


class Part(NamedTuple):
    """Items, and whether more follow."""

    items: list[Item]
    more: bool


class Shown(NamedTuple):
    """How far this looker sees records, the rows of which he sees the bodies, how he sees records (records.as_seen), and what must hold
    beside the filters (exchanges.may_ask).
    """

    reach: Reach
    bodies: ColumnElement[bool] | None
    see: Callable[[AsyncConnection, Sequence[FoundRow]], Awaitable[tuple[list[bytes], set[str]]]]
    also: Sequence[ColumnElement[bool]] = ()
    portions: Portions = PORTIONS


async def part(connection: AsyncConnection, query: ExportQuery, at: Fixed, rows: int, shown: Shown) -> Part:
    """At most so many items behind the cursor."""
    at_most = shown.portions.export_rows if shown.bodies is None else shown.portions.export_rows_with_bodies
    room = Room(min(rows, at_most), shown.portions.export_bytes)
    also = [*as_of(at.held, query.revisions == "newest"), *shown.also]
    every = query.model_copy(update={"revisions": "all"})
    found = await in_time(connection, InTime(every, at.span, at.key or None, room, shown.reach, also))
    if shown.bodies is None:
        told, texts = await shown.see(connection, found.rows)
        return Part(_items(found.rows, told, texts), found.more)
    return await _with_bodies(connection, found, shown, shown.bodies)


def _items(rows: Sequence[FoundRow], told: Sequence[bytes], texts: set[str]) -> list[Item]:
    return [Item(row.id, row.exchange, record, {}, row.id in texts) for row, record in zip(rows, told, strict=True)]


async def _with_bodies(connection: AsyncConnection, found: Page, shown: Shown, bodies: ColumnElement[bool]) -> Part:
    sizes = await _sizes(connection, found.rows, bodies)
    kept, size = 0, 0
    for row in found.rows:
        size += sum(body.bytes for body in sizes.get(row.id, {}).values())
        if kept and size > shown.portions.export_body_bytes:
            break
        kept += 1
    rows = found.rows[:kept]
    told, texts = await shown.see(connection, rows)
    stored = await _stored(connection, [body.id for row in rows for body in sizes.get(row.id, {}).values()])
    items = []
    for row, record in zip(rows, told, strict=True):
        bodies_of = {side: _body(stored.get(one.id), one, record) for side, one in sizes.get(row.id, {}).items()}
        items.append(Item(row.id, row.exchange, record, bodies_of, row.id in texts))
    return Part(items, found.more or kept < len(found.rows))


class _Told(NamedTuple):
    """What is known of a body before it is read. `own`: it came with the exchange's own revision."""

    id: str
    bytes: int
    own: bool


def _payloads(ids: Sequence[str]) -> Statement:
    column = payloads.c
    return select(column.id, column.type, column.revision, column.size, func.coalesce(func.length(column.data), 0).label("length")).where(
        column.id.in_(ids)
    )


async def _sizes(connection: AsyncConnection, rows: Sequence[FoundRow], shown: ColumnElement[bool]) -> dict[str, dict[str, _Told]]:
    """By row and side, the newest body among its revision and those before it."""
    column = exchanges.c
    asked = select(column.id, NAMED, NUMBERED).where(column.id.in_([row.id for row in rows]), shown)
    told = (await connection.execute(asked)).all()
    revised = await _revised(connection, [row.exchange for row in told if row.revision])
    wanted: dict[str, list[tuple[str, str, int]]] = {}  # revisions of one exchange may share a body
    for row in told:
        for revision in (0, *(one for one in revised.get(row.exchange, ()) if one <= row.revision)):
            for side in ("request", "response"):
                wanted.setdefault(event_id(row.exchange, side, revision), []).append((row.id, side, row.revision))
    found: dict[str, dict[str, _Told]] = {}
    for body in sorted(await _sized(connection, list(wanted)), key=attrgetter("revision")):
        size = body.length * _UNTOLD if body.size is None else max(body.size, body.length)
        for name, side, revision in wanted[body.id]:
            found.setdefault(name, {})[side] = _Told(body.id, size, body.revision == revision)
    return found


async def _revised(connection: AsyncConnection, names: Sequence[str]) -> dict[str, list[int]]:
    """The revisions that are stored of these exchanges, but for the first of each."""
    found: dict[str, list[int]] = {}
    if names:
        column = exchanges.c
        wanted = select(NAMED, NUMBERED).where(column.exchange.in_(names), column.revision > literal_column("0"))
        for row in await connection.execute(wanted):
            found.setdefault(row.exchange, []).append(row.revision)
    return found


async def _sized(connection: AsyncConnection, ids: Sequence[str]) -> list[FoundRow]:
    found: list[FoundRow] = []
    for start in range(0, len(ids), _AT_ONCE):
        found += (await connection.execute(_payloads(ids[start : start + _AT_ONCE]))).all()
    return found


async def _stored(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, FoundRow]:
    return {row.id: row for row in await connection.execute(select(payloads).where(payloads.c.id.in_(ids)))} if ids else {}


def _body(row: FoundRow | None, told: _Told, record: bytes) -> Body:
    if row is None:
        return Body(0, None, None, None, False, b"", "it has gone meanwhile")
    known = (row.revision, row.content_type, row.content_encoding, row.size)
    try:
        data = payload_bytes(row)
        said: Record = msgspec.json.decode(record)
        return Body(*known, told.own and compare(row, data, said), data)
    except DamagedError as error:
        return Body(*known, False, b"", str(error))
