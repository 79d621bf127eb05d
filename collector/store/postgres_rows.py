"""Rows as Postgres takes them: as columns, in chunks that fit a message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, SmallInteger, Table

from collector.store import schema
from collector.store.rows import Row

CHUNK_ROWS = 500
CHUNK_BYTES = 8 << 20


def statement(table: Table) -> str:
    """The insert of columns of rows: one array a column."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    arrays = ", ".join(f"${number}::{_type(column)}[]" for number, column in enumerate(table.columns, 1))
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT (id) DO NOTHING"


def chunks(rows: Sequence[Row]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows as columns, at most CHUNK_ROWS and about CHUNK_BYTES at a time. The last column is the one that is large."""
    start = size = 0
    for end, row in enumerate(rows):
        if end - start == CHUNK_ROWS or (size and size + len(row[-1]) > CHUNK_BYTES):
            yield list(zip(*rows[start:end], strict=True))
            start, size = end, 0
        size += len(row[-1])
    if start < len(rows):
        yield list(zip(*rows[start:], strict=True))


def _type(column: Column[Any]) -> str:
    kinds = {SmallInteger: "smallint", BigInteger: "bigint", Integer: "integer", Boolean: "boolean", LargeBinary: "bytea"}
    return next((name for kind, name in kinds.items() if isinstance(column.type, kind)), "text")


STATEMENTS = {table.name: statement(table) for table in (schema.exchanges, schema.payloads, schema.ledger)}
