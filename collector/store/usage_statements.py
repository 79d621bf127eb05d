"""The statements by which both kinds of store keep the sums of usage."""

from __future__ import annotations

from sqlalchemy import Table

from collector.messages.usage_counts import SUMS
from collector.store.schema import usage_hours, usage_keys

KEYS_OF_DAY = "SELECT key, folded, namespace FROM usage_days LEFT JOIN usage_keys ON usage_keys.id = usage_days.key WHERE usage_days.day ="
ENDED = "SELECT ended FROM usage_state WHERE id = 1"


def unit(table: Table) -> str:
    """Its column of time."""
    return "hour" if table is usage_hours else "day"


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _adding(table: Table) -> str:
    sums = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in SUMS)
    return f"ON CONFLICT ({unit(table)}, key) DO UPDATE SET {sums}"


def with_marks(table: Table, marks: str | None = None) -> str:
    """Adds rows to the sums: one mark for each value, `?` or as `marks`, which names each column."""
    told = ", ".join("?" if marks is None else f"{marks}{column.name}" for column in table.columns)
    return f"INSERT INTO {table.name} ({_names(table)}) VALUES ({told}) {_adding(table)}"


def with_arrays(table: Table) -> str:
    """The same, with an array for each column."""
    types = [str(column.type).lower() for column in table.columns]
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    return f"INSERT INTO {table.name} ({_names(table)}) SELECT * FROM unnest({arrays}) {_adding(table)}"


_KEY_TYPES = ("bigint", "smallint", *("text",) * 8)
KEY_WITH_MARKS = f"INSERT INTO usage_keys ({_names(usage_keys)}) VALUES ({', '.join('?' * len(_KEY_TYPES))}) ON CONFLICT (id) DO NOTHING"
KEY_BY_NAME = (
    f"INSERT INTO usage_keys ({_names(usage_keys)}) VALUES ({', '.join(f':{column.name}' for column in usage_keys.columns)})"
    " ON CONFLICT (id) DO NOTHING"
)
KEYS_WITH_ARRAYS = (
    f"INSERT INTO usage_keys ({_names(usage_keys)}) SELECT * FROM "
    f"unnest({', '.join(f'${number}::{kind}[]' for number, kind in enumerate(_KEY_TYPES, 1))}) ON CONFLICT (id) DO NOTHING"
)
