"""GET /v1/exchanges/{id}/events: the CloudEvents of an exchange, every revision, as a JSON batch (CloudEvents 1.0, JSON format §4).

Payloads go as `data_base64`, so that their bytes are exact; the record and the usage go as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.access.looker import Right
from collector.audit import documents
from collector.audit import exchange_queries as queries
from collector.audit.bodies import compare
from collector.audit.bodiless import tagged
from collector.audit.looking import looked_at, reach, saw
from collector.audit.moments import when
from collector.audit.parameters import Nothing
from collector.audit.records import find, shown, within_right
from collector.describe.identity import event_id
from collector.describe.usage import usage_event
from collector.errors import DamagedError
from collector.messages.event import EXCHANGE_TYPE
from collector.messages.record import Record
from collector.store.events import payload_bytes
from collector.store.schema import exchanges
from collector.store.sound import body
from collector.store.sql_types import FoundRow

MEDIA_TYPE = "application/cloudevents-batch+json"
_UNKNOWN = "unknown"  # of a damaged row: an event must have it
_COLUMNS = (
    exchanges.c.id,
    queries.NAMED,
    exchanges.c.source,
    exchanges.c.subject,
    exchanges.c.time_us,
    exchanges.c.crc,
    exchanges.c.data,
)


def router(engine: AsyncEngine) -> APIRouter:
    """The route of events."""
    routes = APIRouter(tags=["events"])

    @routes.get("/v1/exchanges/{id}/events", responses=documents.EVENTS, summary="The exchange as CloudEvents")
    async def get_events(request: Request, id: str, query: Nothing) -> Response:  # noqa: A002
        del query
        covered = reach(request, Right.EXCHANGES)
        async with engine.connect() as connection:
            found = await find(connection, id, None, *_COLUMNS, reach=covered)
            bodies = await within_right(request, connection, Right.BODIES, found)
            stored = await _payloads(connection, [row for row in found if row.id in bodies])
            own = dict(zip((row.id for row in found), await shown(request, connection, found, "events"), strict=True))
        saw(request, "events", len(found), (found[0].exchange,) if stored else looked_at(request))
        write = JSONFormat().write
        batch = b",".join(write(event) for event in _events(found, stored, own))
        return tagged(request, Response(b"[" + batch + b"]", media_type=MEDIA_TYPE))

    return routes


async def _payloads(connection: AsyncConnection, found: Sequence[FoundRow]) -> Sequence[FoundRow]:
    ids = [event_id(row.exchange, direction, row.revision) for row in found for direction in ("request", "response")]
    rows: Sequence[FoundRow] = (await connection.execute(queries.all_payloads(ids))).all()
    return rows


def _events(found: Sequence[FoundRow], stored: Sequence[FoundRow], own: Mapping[str, bytes]) -> Iterator[CloudEvent]:
    """Revision by revision, the oldest first; the exchange, then its payloads, then its usage, as the pipeline orders them."""
    for row in reversed(found):
        extensions = {"exchange": row.exchange, "revision": row.revision}
        record: Record = msgspec.json.decode(own[row.id])
        yield CloudEvent(_attributes(row, EXCHANGE_TYPE, "application/json", extensions), dict(record))
        for payload in stored:
            if payload.revision == row.revision:
                yield _payload(payload, record)
        usage = _usage(row, record)
        if usage is not None:
            yield usage


def _usage(row: FoundRow, record: Record) -> CloudEvent | None:
    """Not stored: it is a function of the record."""
    if record.get("damaged"):
        return None
    event = usage_event(record, row.source, row.subject, row.time_us)
    if event is None:
        return None
    attributes = {**_attributes(row, event.type, event.datacontenttype, dict(event.extensions)), "id": event.id}
    return CloudEvent(attributes, msgspec.json.decode(event.data))


def _payload(row: FoundRow, record: Record) -> CloudEvent:
    """Of damaged bytes, or bytes that do not fit the record's sha256, an event that says so."""
    try:
        extensions = msgspec.json.decode(body(row.id, row.extensions), type=dict[str, object])
        data = payload_bytes(row)
        compare(row, data, record)
    except (DamagedError, msgspec.DecodeError, UnicodeDecodeError) as error:
        told = {"id": row.id, "damaged": True, "why": str(error)}
        return CloudEvent(_attributes(row, row.type, "application/json", {"exchange": row.exchange, "revision": row.revision}), told)
    return CloudEvent(_attributes(row, row.type, row.content_type, extensions), data)


def _attributes(row: FoundRow, kind: str, content_type: str | None, extensions: dict[str, object]) -> dict[str, object]:
    time = None if row.time_us is None else when(row.time_us)
    optional = {"subject": row.subject, "datacontenttype": content_type, "time": time}
    return {
        "id": row.id,
        "type": kind or _UNKNOWN,
        "source": row.source or _UNKNOWN,
        **{name: value for name, value in optional.items() if value},
        **extensions,
    }
