"""Records as they are stored, but for damaged ones: a placeholder with the id stands for each, so that the rest of a page is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.messages.columns import ExchangeColumns
from collector.store.events import exchange_columns
from collector.store.schema import exchanges
from collector.store.sound import fault_of, placeholder

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
    wanted = select(exchanges.c.time_us, *(exchanges.c[column] for column in ExchangeColumns._fields)).where(exchanges.c.id == name)
    row = (await connection.execute(wanted)).one_or_none()
    return placeholder(name, why, row and row.time_us, exchange_columns(row) if row is not None else None)
