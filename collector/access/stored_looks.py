"""Looks as they are stored, made again: for the API's answers, and as the events that go to Kafka. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from collector.access.look import LOOK_TYPE, SOURCE, Look, document
from collector.access.look_expiry import ids
from collector.errors import DamagedError
from collector.messages.event import Event

_LATEST_US = 1 << 53


def of_row(row: Any) -> Look:
    """Of a row with the columns of `looks`. A time that is none is that of the id."""
    known = isinstance(row.time_us, int) and 0 <= row.time_us < _LATEST_US
    told = {name: getattr(row, name) for name in Look.__struct_fields__}
    return Look(**{**told, "time_us": row.time_us if known else _time_of(row.id), "exchanges": tuple(ids(row.exchanges))})


def look_event(row: Any) -> Event:
    """The event `meshscribe.access.v1` of this row: its data are what GET /v1/access answers. Raises DamagedError."""
    try:
        look = of_row(row)
        data = msgspec.json.encode(document(look))
    except (TypeError, ValueError) as error:
        raise DamagedError(f"look {row.id} cannot be read as it was written: {error}") from error
    return Event(look.id, LOOK_TYPE, SOURCE, None, look.time_us, "application/json", data, {}, None)


def _time_of(identity: str) -> int:
    """Microseconds since the epoch: a UUIDv7 begins with the milliseconds."""
    return int(identity[:8] + identity[9:13], 16) * 1000
