"""Turns events into rows of the SQL store: plain tuples in the order of the tables' columns (schema.py), as every store takes them.

First the id, then the columns of the event's own (messages/columns.py), then the rest. events.py makes the events again.
Postgres takes rows as columns, in chunks that fit a message. Values from outside that no column holds are made to fit: NUL in a text, a
name as long as a book, a number beyond 64 bits. Only a batch that a store refused is looked through so, and nothing is lost by it: the
record and the bodies are stored as bytes, as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import zstandard
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, SmallInteger, Table

from collector.errors import PermanentError, blamed
from collector.messages.columns import ExchangeColumns, LedgerColumns, PayloadColumns
from collector.messages.event import Output
from collector.messages.plain import json_bytes
from collector.store import schema
from collector.store.schema import KEY

COMPRESS_FROM = 128  # bytes; below, zstd's frame costs more than it saves

Row = tuple[Any, ...]
KeyOf = Callable[[ExchangeColumns, int], int | None]
CHUNK_ROWS = 500
CHUNK_BYTES = 8 << 20
KEY_BYTES = 800  # of a text in an index, so that three of them fit an index entry of Postgres (a third of an 8 KiB page)
_BITS = {SmallInteger: 15, BigInteger: 63, Integer: 31}


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


def statement(table: Table) -> str:
    """The insert of columns of rows: one array a column."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    arrays = ", ".join(f"${number}::{_type(column)}[]" for number, column in enumerate(table.columns, 1))
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT (id) DO NOTHING"


def chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows as columns, at most CHUNK_ROWS and about CHUNK_BYTES at a time. The last column is the one that is large."""
    start = size = 0
    for end, row in enumerate(rows):
        if end - start == CHUNK_ROWS or (size and size + len(row[-1]) > CHUNK_BYTES):
            yield list(zip(*rows[start:end], strict=True))
            start, size = end, 0
        size += len(row[-1])
    if start < len(rows):
        yield list(zip(*rows[start:], strict=True))


def _type(column: Column[object]) -> str:
    kinds = {SmallInteger: "smallint", BigInteger: "bigint", Integer: "integer", Boolean: "boolean", LargeBinary: "bytea"}
    return next((name for kind, name in kinds.items() if isinstance(column.type, kind)), "text")


STATEMENTS = {table.name: statement(table) for table in (schema.exchanges, schema.payloads, schema.ledger)}


def fitted(rows: Rows) -> Rows:
    """The rows, with NUL and lone surrogates as U+FFFD, an indexed text cut to KEY_BYTES, and a number out of range absent, or, where it
    must be there, the nearest that fits.
    """
    return Rows(*(_fit(table, found) for table, found in zip((schema.exchanges, schema.payloads, schema.ledger), rows, strict=True)))


def _fit(table: Table, rows: Sequence[Row]) -> list[Row]:
    columns = list(table.columns)
    return [tuple(_fit_value(column, value) for column, value in zip(columns, row, strict=True)) for row in rows]


def _fit_value(column: Column[object], value: object) -> object:
    if isinstance(value, str):
        return fit_text(value, KEY_BYTES if KEY in column.info else None)
    if isinstance(value, int) and not isinstance(column.type, Boolean):
        bound = 1 << next(bits for kind, bits in _BITS.items() if isinstance(column.type, kind))
        if -bound <= value < bound:
            return value
        return None if column.nullable else max(-bound, min(value, bound - 1))
    return value


def fit_text(value: str, most: int | None) -> str:
    """The text as every store takes it, of so many bytes at most."""
    raw = value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return raw[:most].decode("utf-8", "ignore")
