"""The statement that finds the exchanges of a request id. No I/O here."""

from __future__ import annotations

from string import hexdigits
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from collector.access.looker import EVERYTHING, Reach
from collector.audit.hints import Aside
from collector.audit.looking import within
from collector.audit.moments import Span, first_id, past_id
from collector.describe.record import call_id
from collector.store.schema import exchanges

_column = exchanges.c
_MASKED = 14  # the character that describe.record.call_id masks


def request_ids(asked: str) -> list[str]:
    """All request ids that are the same call's: Envoy writes its tracing decision into one character of a UUID."""
    masked = call_id(asked)
    if masked[_MASKED : _MASKED + 1] != "x" or call_id(asked[:_MASKED] + "0" + asked[_MASKED + 1 :]) != masked:
        return [asked]
    return sorted({asked} | {asked[:_MASKED] + digit + asked[_MASKED + 1 :] for digit in hexdigits})


def hops(asked: str, span: Span, limit: int, reach: Reach = EVERYTHING) -> Select[Any]:
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
