"""Exchanges as they are stored: found by the id of any of their revisions, and read.

A placeholder with its id stands for a damaged record, so that the rest of a page is there.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

from fastapi import Request
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import Reach, Right
from collector.access.texts import without_texts
from collector.audit import exchange_queries as queries
from collector.audit.hints import Among, Aside
from collector.audit.looking import looker, saw, within
from collector.audit.problems import NotFoundError
from collector.messages.columns import ExchangeColumns
from collector.store.events import exchange_columns
from collector.store.schema import exchanges
from collector.store.sound import fault_of, placeholder
from collector.store.sql_types import FoundRow

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
log = logging.getLogger(__name__)
_AT_ONCE = 500  # ids in one statement


async def find(
    connection: AsyncConnection, event: str, newest: int | None, *columns: ColumnElement[object] | ColumnElement[bool], reach: Reach
) -> Sequence[FoundRow]:
    """Revision `newest` and those before it, or all; the newest first, with `columns` and `revision`. Those out of reach are not there.

    Raises NotFoundError, also if revision `newest` itself is not stored.
    """
    event = event.lower()
    if not _ID.fullmatch(event):
        raise NotFoundError(f"{event[:80]!r} does not have the form of an exchange's id, which is a UUID.")
    exchange = await connection.scalar(queries.named(event, reach)) or event
    statement = queries.revisions(exchange, queries.NUMBERED, *columns, reach=reach)
    rows: Sequence[FoundRow] = (await connection.execute(statement)).all()
    if not rows:
        raise NotFoundError(not_stored(event))
    if newest is None:
        return rows
    wanted = [row for row in rows if row.revision <= newest]
    if not wanted or wanted[0].revision != newest:
        kept = ", ".join(str(row.revision) for row in rows)
        raise NotFoundError(f"Exchange {exchange} has no revision {newest}; stored: {kept}.")
    return wanted


def not_stored(event: str) -> str:
    """What is said of an exchange that is not there, for whatever reason."""
    return f"No exchange {event.lower()} is stored: it never was, it is not written yet, or its time of keeping is over."


async def records(connection: AsyncConnection, rows: Sequence[FoundRow]) -> list[bytes]:
    """One for each row, in order. Rows have `id`, `crc` and `data`; the columns of a damaged one are asked for."""
    found = []
    for row in rows:
        why = fault_of(row.data, row.crc)
        found.append(row.data if why is None else await _instead(connection, row.id, why))
    return found


async def shown(request: Request, connection: AsyncConnection, rows: Sequence[FoundRow], action: str) -> list[bytes]:
    """The same, as far as who asks may see them: without texts where he has no right to these. Tells of the look.

    Rows have `exchange` too.
    """
    found, texts = await as_seen(request, connection, rows)
    saw(request, action, len(rows), tuple(dict.fromkeys(row.exchange for row in rows if row.id in texts)))
    return found


async def as_seen(request: Request, connection: AsyncConnection, rows: Sequence[FoundRow]) -> tuple[list[bytes], set[str]]:
    """The records as far as who asks may see them, and the ids of those whose texts are in them."""
    found = await records(connection, rows)
    texts = await within_right(request, connection, Right.TEXTS, rows)
    if len(texts) < len(rows):
        found = await asyncio.to_thread(_masked, rows, found, texts)
    return found, texts


def _masked(rows: Sequence[FoundRow], found: Sequence[bytes], texts: set[str]) -> list[bytes]:
    return [record if row.id in texts else without_texts(record) for row, record in zip(rows, found, strict=True)]


async def within_right(request: Request, connection: AsyncConnection, right: Right, rows: Sequence[FoundRow]) -> set[str]:
    """The ids of those exchanges over which who asks has this right too."""
    ids = [row.id for row in rows]
    covered = looker(request).rights.get(right)
    if covered is None:
        return set()
    if covered.everything:
        return set(ids)
    found: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        some = Among(exchanges.c.id, ids[start : start + _AT_ONCE])
        found.update((await connection.execute(select(exchanges.c.id).where(some, within(covered, exchanges, Aside)))).scalars())
    return found


async def _instead(connection: AsyncConnection, name: str, why: str) -> bytes:
    log.error("record %s is damaged: %s", name, why)
    wanted = select(exchanges.c.time_us, *(exchanges.c[column] for column in ExchangeColumns._fields)).where(exchanges.c.id == name)
    row = (await connection.execute(wanted)).one_or_none()
    return placeholder(name, why, row and row.time_us, exchange_columns(row) if row is not None else None)
