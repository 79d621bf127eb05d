"""Records as they are stored, but for damaged ones: a placeholder with the id stands for each, so that the rest of a page is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.store.schema import exchanges
from collector.store.sound import COLUMNS, fault_of, placeholder

log = logging.getLogger(__name__)


async def records(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[bytes]:
    """One for each row, in order. Rows have `id`, `crc` and `data`; the columns of a damaged one are asked for."""
    found = []
    for row in rows:
        why = fault_of(row.data, row.crc)
        found.append(row.data if why is None else await _instead(connection, row.id, why))
    return found


async def _instead(connection: AsyncConnection, name: str, why: str) -> bytes:
    log.error("record %s is damaged: %s", name, why)
    columns = select(*(exchanges.c[column] for column in COLUMNS)).where(exchanges.c.id == name)
    row = (await connection.execute(columns)).one_or_none()
    return placeholder(row if row is not None else _Named(name), why)


class _Named:
    """A row of which only the id is known."""

    def __init__(self, name: str) -> None:
        self.id = name
