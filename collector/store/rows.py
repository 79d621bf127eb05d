"""Turns events into rows of the SQL store (store/schema.py): plain tuples in the order of the tables' columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import orjson
import zstandard

from collector.errors import PermanentError, blamed
from collector.messages import ledger_data
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, Event, Output, Place

COMPRESS_FROM = 128  # bytes; below, zstd's frame costs more than it saves

Row = tuple[Any, ...]


class Rows(NamedTuple):
    """What one batch writes, by table."""

    exchanges: list[Row]
    payloads: list[Row]
    ledger: list[Row]


class RowMaker:
    """Makes rows; holds the compressor. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._compress: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=1, write_content_size=True).compress

    def rows(self, journal: str, outputs: Sequence[Output]) -> Rows:
        """The rows of these outputs. Raises PermanentError: of one of them none can be made."""
        try:
            return self._rows(journal, outputs)
        except Exception as error:
            raise PermanentError(f"rows cannot be made of it: {blamed(error)}") from error

    def _rows(self, journal: str, outputs: Sequence[Output]) -> Rows:
        rows = Rows([], [], [])
        for output in outputs:
            extensions: Mapping[str, Any] = {}
            named = b"{}"
            for event in output.events:
                if event.type == EXCHANGE_TYPE:
                    rows.exchanges.append(_exchange(event, journal, output.place))
                elif event.type in (REQUEST_TYPE, RESPONSE_TYPE):
                    if event.extensions is not extensions:  # the bodies of an exchange share theirs
                        extensions = event.extensions
                        named = orjson.dumps(extensions)
                    rows.payloads.append(self._payload(event, named))
                elif event.type == LEDGER_TYPE:
                    rows.ledger.append(_ledger(event, journal, output.place))
        return rows

    def _payload(self, event: Event, extensions: bytes) -> Row:
        columns, data = event.columns, event.data
        compression = None
        if len(data) >= COMPRESS_FROM:
            smaller = self._compress(data)
            if len(smaller) < len(data):
                compression, data = "zstd", smaller
        return (
            event.id,
            columns["exchange"],
            columns["revision"],
            event.type,
            event.source,
            event.subject,
            event.time_us,
            columns["content_type"],
            columns["content_encoding"],
            columns["size"],
            extensions,
            compression,
            data,
        )


def _exchange(event: Event, journal: str, place: Place) -> Row:
    c = event.columns
    return (
        event.id,
        c["exchange"],
        c["revision"],
        False,
        event.source,
        event.subject,
        event.time_us,
        c["duration_us"],
        c["namespace"],
        c["service"],
        c["node"],
        c["request_id"],
        c["method"],
        c["path"],
        c["status"],
        c["caller"],
        c["model"],
        c["completeness"],
        c["request_bytes"],
        c["response_bytes"],
        journal,
        place.position,
        place.ordinal,
        crc32(event.data),
        event.data,
    )


def _ledger(event: Event, journal: str, place: Place) -> Row:
    values = [event.columns[name] for name in ledger_data.COLUMNS]
    return (event.id, event.source, event.time_us, *values, journal, place.position, place.ordinal, event.data)
