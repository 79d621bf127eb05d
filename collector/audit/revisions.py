"""Finds an exchange by the id of any of its revisions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import Reach
from collector.audit import exchange_queries as queries
from collector.audit.problems import NotFoundError

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


async def find(
    connection: AsyncConnection, event: str, newest: int | None, *columns: ColumnElement[Any], reach: Reach
) -> Sequence[Row[Any]]:
    """Revision `newest` and those before it, or all; the newest first, with `columns` and `revision`. Those out of reach are not there.

    Raises NotFoundError, also if revision `newest` itself is not stored.
    """
    event = event.lower()
    if not _ID.fullmatch(event):
        raise NotFoundError(f"{event[:80]!r} does not have the form of an exchange's id, which is a UUID.")
    exchange = await connection.scalar(queries.named(event, reach)) or event
    statement = queries.revisions(exchange, queries.NUMBERED, *columns, reach=reach)
    rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
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
