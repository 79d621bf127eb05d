"""Turns events into rows of the SQL store: plain tuples in the order of the tables' columns (schema.py).

First the id, then the columns of the event's own (messages/columns.py), then the rest. events.py makes the events again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import zstandard

from collector.errors import PermanentError, blamed
from collector.messages.columns import ExchangeColumns, LedgerColumns, PayloadColumns
from collector.messages.event import Output
from collector.messages.json_bytes import json_bytes

COMPRESS_FROM = 128  # bytes; below, zstd's frame costs more than it saves

Row = tuple[Any, ...]
KeyOf = Callable[[ExchangeColumns, int], int | None]


def uncounted(columns: ExchangeColumns, time_us: int) -> int | None:
    """Of rows that are not meant for a store that counts."""
    del columns, time_us
    return None


class Rows(NamedTuple):
    """What one batch writes, by table."""

    exchanges: list[Row]
    payloads: list[Row]
    ledger: list[Row]


class RowMaker:
    """Makes rows; holds the compressor. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._compress: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=1, write_content_size=True).compress

    def rows(self, journal: str, outputs: Sequence[Output], key_of: KeyOf = uncounted) -> Rows:
        """The rows of these outputs. `key_of`: where an exchange is counted. Raises PermanentError: of one of them none can be made."""
        try:
            return self._rows(journal, outputs, key_of)
        except Exception as error:
            raise PermanentError(f"rows cannot be made of it: {blamed(error)}") from error

    def _rows(self, journal: str, outputs: Sequence[Output], key_of: KeyOf) -> Rows:
        rows = Rows([], [], [])
        for (position, ordinal), events, *_ in outputs:
            extensions: Mapping[str, str | int | bool] = {}
            named = b"{}"
            for event in events:
                id_, type_, source, subject, time_us, _, data, own, columns = event
                if isinstance(columns, ExchangeColumns):
                    rows.exchanges.append((
                        id_, *columns, False, key_of(columns, time_us),
                        source, subject, time_us, journal, position, ordinal, crc32(data), data,
                    ))  # fmt: skip
                elif isinstance(columns, PayloadColumns):
                    if own is not extensions:  # the bodies of an exchange share theirs
                        extensions, named = own, json_bytes(own)
                    rows.payloads.append((id_, *columns, type_, source, subject, time_us, named, *self._smaller(data)))
                elif isinstance(columns, LedgerColumns):
                    rows.ledger.append((id_, *columns, source, time_us, journal, position, ordinal, data))
        return rows

    def _smaller(self, data: bytes) -> tuple[str | None, bytes]:
        """How it is compressed, and the bytes."""
        if len(data) >= COMPRESS_FROM:
            smaller = self._compress(data)
            if len(smaller) < len(data):
                return "zstd", smaller
        return None, data
