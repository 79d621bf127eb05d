"""Values from outside that no column holds, made to fit: NUL in a text, a name as long as a book, a number beyond 64 bits.

Only a batch that a store refused is looked through so. Nothing is lost by it: the record and the bodies are stored as bytes, as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, SmallInteger, Table

from collector.store import schema
from collector.store.columns import KEY
from collector.store.rows import Row, Rows

KEY_BYTES = 800  # of a text in an index, so that three of them fit an index entry of Postgres (a third of an 8 KiB page)
_BITS = {SmallInteger: 15, BigInteger: 63, Integer: 31}


def fitted(rows: Rows) -> Rows:
    """The rows, with NUL and lone surrogates as U+FFFD, an indexed text cut to KEY_BYTES, and a number out of range absent, or, where it
    must be there, the nearest that fits.
    """
    return Rows(*(_fit(table, found) for table, found in zip((schema.exchanges, schema.payloads, schema.ledger), rows, strict=True)))


def _fit(table: Table, rows: Sequence[Row]) -> list[Row]:
    columns = list(table.columns)
    return [tuple(_fit_value(column, value) for column, value in zip(columns, row, strict=True)) for row in rows]


def _fit_value(column: Column[Any], value: Any) -> Any:
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
