"""One exchange with its bodies, as whoever asks may see it. What he may not see is not there."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import orjson
from fastapi import Request
from sqlalchemy import false
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import Right
from collector.audit import exchange_queries as queries
from collector.audit.hints import Aside
from collector.audit.looking import ForbiddenError, reach, within
from collector.audit.records import find, records
from collector.conversation.stored import Side
from collector.describe.identity import event_id
from collector.errors import DamagedError
from collector.messages.chunk_times import EXTENSION
from collector.store.events import payload_bytes
from collector.store.schema import exchanges
from collector.store.sound import remains
from collector.store.sql_types import FoundRow

SideName = Literal["request", "response"]
_COLUMNS = (exchanges.c.id, queries.NAMED, exchanges.c.crc, exchanges.c.data)
_SIDES: tuple[SideName, ...] = ("request", "response")


class Body(NamedTuple):
    """A stored body and the times of its chunks, where its event tells them."""

    side: Side
    chunk_times: str | None


class Whole(NamedTuple):
    """`texts`: whether who asks may see what was asked and answered."""

    id: str
    record: dict[str, object]
    bodies: dict[SideName, Body]
    texts: bool


async def read_whole(
    connection: AsyncConnection, request: Request, event: str, revision: int | None, sides: tuple[SideName, ...] = _SIDES
) -> Whole:
    """The exchange, by the id of any of its revisions. Raises NotFoundError, ForbiddenError."""
    covered = reach(request, Right.EXCHANGES)
    try:
        texts = within(reach(request, Right.TEXTS), exchanges, Aside).label("texts")
    except ForbiddenError:
        texts = false().label("texts")
    found = await find(connection, event, revision, texts, *_COLUMNS, reach=covered)
    [stored] = await records(connection, found[:1])
    bodies = {side: await _body(connection, [event_id(row.exchange, side, row.revision) for row in found], side) for side in sides}
    return Whole(found[0].exchange, msgspec.json.decode(stored), bodies, bool(found[0].texts))


async def _body(connection: AsyncConnection, ids: list[str], side: SideName) -> Body:
    row = (await connection.execute(queries.payload(ids))).one_or_none()
    if row is None:
        return Body(Side(side), None)
    extensions = _extensions(row)
    encoded = extensions.get("redacted") != "part"  # one with marks is stored decoded
    try:
        data, damaged = payload_bytes(row), ""
    except DamagedError:
        data, damaged = None, "it cannot be read as it was written."
    times = extensions.get(EXTENSION)
    return Body(Side(side, data, encoded, damaged), times if isinstance(times, str) else None)


def _extensions(row: FoundRow) -> dict[str, object]:
    try:
        found = orjson.loads(remains(row.extensions))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
