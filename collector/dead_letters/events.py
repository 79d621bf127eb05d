"""Events in the CloudEvents JSON format 1.0 (§3 one event, §4 a batch), for HTTP and for dead letters. Pure.

For receivers a JSON body goes as JSON, all else as `data_base64`. In a dead letter all data go as `data_base64`, so that the bytes are
the original ones, and beside the batch stands what the SQL store's columns were: from both the very same event is made again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import orjson

from collector.errors import DamagedError
from collector.kafka.cloudevents import time
from collector.kafka.columns import exchange_columns
from collector.messages.columns import ExchangeColumns
from collector.messages.event import COLUMNS, Event, Place

EVENT_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"
CUT_BATCH_TYPE = f"{BATCH_TYPE}; cut=1"  # its events' data were cut: to look at, and not to be sent as if they were whole
_OF_EVENTS = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64"})


def attributes(event: Event) -> dict[str, str | int | bool]:
    """The context attributes with the extensions, in the order of the specification; absent ones are left out."""
    named: dict[str, str | int | bool] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    if event.subject is not None:
        named["subject"] = event.subject
    named["time"] = time(event.time_us)
    if event.datacontenttype is not None:
        named["datacontenttype"] = event.datacontenttype
    named.update(event.extensions)
    return named


def placed(event: Event, journal: str, place: Place) -> dict[str, str | int | bool]:
    """The attributes with where the event stands in its journal, as in Kafka records. A position has more than CloudEvents' 32 bits."""
    return {**attributes(event), "journal": journal, "position": str(place.position), "ordinal": place.ordinal}


def structured(event: Event, journal: str, place: Place) -> bytes:
    """One event for a receiver."""
    named: dict[str, object] = {name: _clean(value) for name, value in placed(event, journal, place).items()}
    if _is_json(event.datacontenttype) and _parses(event.data):
        named["data"] = orjson.Fragment(event.data)
    elif event.data:
        named["data_base64"] = base64.b64encode(event.data).decode()
    return orjson.dumps(named)


def write_batch(events: Sequence[Event]) -> bytes:
    """A batch that `read_batch` makes the same events of. Texts that are no UTF-8 are escaped."""
    return json.dumps([{**attributes(event), "data_base64": base64.b64encode(event.data).decode()} for event in events]).encode()


def columns_of(events: Sequence[Event]) -> bytes:
    """What a batch does not say of each event, as a JSON array of {"time_us", "columns"}: texts in it may be no UTF-8, numbers any."""
    return json.dumps(
        [{"time_us": event.time_us, "columns": event.columns._asdict() if event.columns is not None else {}} for event in events]
    ).encode()


def read_batch(data: bytes, columns: bytes | None) -> tuple[Event, ...]:
    """The events of a batch. Raises DamagedError: it is none of ours."""
    try:
        told = json.loads(columns) if columns is not None else []
        return tuple(_event(named, beside) for named, beside in zip(json.loads(data), told, strict=True))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"a dead letter that cannot be read: {error!r}") from error


def _event(named: dict[str, Any], beside: dict[str, Any]) -> Event:
    of = COLUMNS.get(named["type"])
    data = base64.b64decode(named["data_base64"], validate=True)
    columns = of(**beside["columns"]) if of is not None else None
    return Event(
        id=named["id"],
        type=named["type"],
        source=named["source"],
        subject=named.get("subject"),
        time_us=beside["time_us"],
        datacontenttype=named.get("datacontenttype"),
        data=data,
        extensions={name: value for name, value in named.items() if name not in _OF_EVENTS},
        columns=_of_now(columns, data) if isinstance(columns, ExchangeColumns) else columns,
    )


def _of_now(columns: ExchangeColumns, data: bytes) -> ExchangeColumns:
    """A letter of an older version does not say what is billed: its record does, if it can be read."""
    if columns.billable is not None:
        return columns
    try:
        told = exchange_columns(orjson.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        return columns
    return columns._replace(**{name: getattr(told, name) for name, value in columns._asdict().items() if value is None})


def _clean(value: str | int | bool) -> str | int | bool:
    """Lone surrogates, which a proxy may send and JSON cannot carry, become `?`, as in Kafka records."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _is_json(content_type: str | None) -> bool:
    """CloudEvents JSON format §3.1: JSON, or nothing said."""
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _parses(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
