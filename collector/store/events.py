"""Makes events again from the rows of the SQL store, equal to those that rows.py made them of. Pure. Next stop: a relay's target."""

from __future__ import annotations

from operator import attrgetter

import orjson
import zstandard

from collector.errors import DamagedError
from collector.messages.columns import ExchangeColumns, LedgerColumns, PayloadColumns
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, Event
from collector.store.sound import body, checked
from collector.store.sql_types import FoundRow

_OF_EXCHANGE = attrgetter(*ExchangeColumns._fields)
_OF_PAYLOAD = attrgetter(*PayloadColumns._fields)
_OF_LEDGER = attrgetter(*LedgerColumns._fields)


def exchange_event(row: FoundRow) -> Event:
    """Of a row of `exchanges`. Raises DamagedError."""
    return Event(
        row.id,
        EXCHANGE_TYPE,
        row.source,
        row.subject,
        row.time_us,
        "application/json",
        checked(row.id, row.data, row.crc),
        {"exchange": row.exchange, "revision": row.revision},
        exchange_columns(row),
    )


def exchange_columns(row: object) -> ExchangeColumns:
    """Of a row with at least these."""
    return ExchangeColumns(*_OF_EXCHANGE(row))


def ledger_event(row: FoundRow) -> Event:
    """Of a row of `ledger`. Raises DamagedError."""
    subject = f"{row.namespace}/{row.workload}" if row.namespace and row.workload else None
    columns = LedgerColumns(*_OF_LEDGER(row))
    return Event(row.id, LEDGER_TYPE, row.source, subject, row.time_us, "application/json", checked(row.id, row.data, None), {}, columns)


def payload_event(row: FoundRow) -> Event:
    """Of a row of `payloads`. Raises DamagedError."""
    try:
        extensions = orjson.loads(body(row.id, row.extensions))
    except orjson.JSONDecodeError as error:
        raise DamagedError(f"payload {row.id}: its extensions are no JSON: {error}") from error
    columns = PayloadColumns(*_OF_PAYLOAD(row))
    return Event(row.id, row.type, row.source, row.subject, row.time_us, row.content_type, payload_bytes(row), extensions, columns)


def payload_bytes(row: FoundRow) -> bytes:
    """The bytes of a row of `payloads`, as they passed. Raises DamagedError."""
    data = body(row.id, row.data)
    if row.compression is None:
        return data
    if row.compression != "zstd":
        raise DamagedError(f"payload {row.id} is stored with compression {row.compression!r}, expected zstd")
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError as error:
        raise DamagedError(f"payload {row.id}: {error}") from error
