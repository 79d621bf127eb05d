"""GET /v1/exchanges/{id}/request and …/response: the stored bytes, as they passed.

The bytes were chosen by whoever called the model, or by the model: hostile, for all we know. They are only ever a download: `attachment`,
`nosniff`, and a sandbox for a browser that shows them all the same. The message's Content-Encoding goes into a header of our own: under
the standard's name every client would decode the body, and what it saves would not be what passed.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.looker import Right
from collector.audit import documents
from collector.audit import exchange_queries as queries
from collector.audit.bodiless import tagged
from collector.audit.looking import reach, saw
from collector.audit.parameters import Revision
from collector.audit.problems import NotFoundError, damaged
from collector.audit.records import find, records
from collector.describe.identity import event_id
from collector.errors import DamagedError
from collector.messages.completeness import names
from collector.messages.event import REQUEST_TYPE
from collector.messages.record import Record, RecordedBody, RecordedRequest, RecordedResponse
from collector.store.events import payload_bytes
from collector.store.schema import exchanges
from collector.store.sound import remains
from collector.store.sql_types import FoundRow

_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?")
_COLUMNS = (exchanges.c.id, queries.NAMED, exchanges.c.completeness, exchanges.c.crc, exchanges.c.data)
_UNKNOWN = "application/octet-stream"
_HOLES = 32  # of a body are told in its header; the record has all


def router(engine: AsyncEngine) -> APIRouter:
    """The routes of bodies."""
    routes = APIRouter(tags=["bodies"])

    @routes.get(
        "/v1/exchanges/{id}/request", responses=documents.BODY, summary="The request's body, byte for byte, but for what redaction hides"
    )
    async def get_request(request: Request, id: str, query: Revision) -> Response:  # noqa: A002
        return tagged(request, await _body(engine, request, id, "request", query.revision))

    @routes.get(
        "/v1/exchanges/{id}/response", responses=documents.BODY, summary="The response's body, byte for byte, but for what redaction hides"
    )
    async def get_response(request: Request, id: str, query: Revision) -> Response:  # noqa: A002
        return tagged(request, await _body(engine, request, id, "response", query.revision))

    return routes


def compare(row: FoundRow, data: bytes, record: Record) -> bool:
    """Whether the bytes are those that the record speaks of. Raises DamagedError: they are others. False: nobody can tell, because the
    record is damaged, or because the bytes were cut on their way here.
    """
    side = "request" if row.type == REQUEST_TYPE else "response"
    message: RecordedRequest | RecordedResponse = record.get("request", {}) if side == "request" else record.get("response", {})
    told: RecordedBody = {} if record.get("damaged") else message.get("body", {})
    if "sha256" not in told or (len(data) < told.get("captured", 0) and b'"truncated":true' in remains(row.extensions)):
        return False
    if sha256(data).hexdigest() != told["sha256"]:
        raise DamagedError(f"the {side} body {row.id} does not fit the sha256 that its record tells")
    return True


async def _body(
    engine: AsyncEngine, request: Request, event: str, direction: Literal["request", "response"], revision: int | None
) -> Response:
    """A revision without a payload of its own shares that of the one before it."""
    covered = reach(request, Right.BODIES)
    async with engine.connect() as connection:
        found = await find(connection, event, revision, *_COLUMNS, reach=covered)
        newest = found[0]
        ids = [event_id(newest.exchange, direction, row.revision) for row in found]
        row = (await connection.execute(queries.payload(ids))).one_or_none()
        own = [record for record in found if row is not None and record.revision == row.revision] or [newest]
        [record] = await records(connection, own[:1])
    if row is None:
        flags = ", ".join(names(newest.completeness or 0)) or "no flag"
        raise NotFoundError(
            f"No {direction} body of exchange {newest.exchange} is stored: it was empty, not captured, or left out. Completeness: {flags}."
        )
    try:
        data = payload_bytes(row)
        told = msgspec.json.decode(record)
        known = compare(row, data, told)
    except DamagedError as error:
        return damaged(f"{error}. What the store holds is not what passed; `meshscribe verify` says what else is damaged.")
    headers = {**_headers(row, len(data), f"{newest.exchange}-{direction}"), "Meshscribe-Verified": "true" if known else "false"}
    if holes := told.get(direction, {}).get("body", {}).get("gaps"):
        headers["Meshscribe-Gaps"] = ", ".join(f"{offset}+{length}" for offset, length in holes[:_HOLES])
    saw(request, f"{direction} body", 1, (newest.exchange,))
    return Response(data, headers=headers)


def _headers(row: FoundRow, captured: int, name: str) -> dict[str, str]:
    """What is not known is left out."""
    headers = {
        "Content-Type": _value(row.content_type) or _UNKNOWN,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store, no-transform",
        "Meshscribe-Revision": str(row.revision),
        "Meshscribe-Captured": str(captured),
    }
    if encoding := _value(row.content_encoding):
        headers["Meshscribe-Content-Encoding"] = encoding
    if row.size is not None:
        headers["Meshscribe-Size"] = str(row.size)
        headers["Meshscribe-Truncated"] = "true" if captured < row.size else "false"
    return headers


def _value(stored: str | None) -> str | None:
    """The stored value if it can be a header's: it came from outside, and must not begin a header or body of its own."""
    return stored if stored and _HEADER_VALUE.fullmatch(stored) else None
