"""Inserts of rows into one table of an SQLite file, with nothing for a parameter that no row has.

For each parameter that is neither a whole number nor a text nor a bytearray (None, bytes, a bool), Python's sqlite3 looks for an adapter in
four places, which costs more than to write the value. So columns that no row had a value in stand in the statement itself, and short bytes
are given as a bytearray. A row may have any value in any column: the statement is then made anew, and stays so. Next stop: the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Boolean, Column, LargeBinary, Table

from collector.store.rows import Row

ROWS_AT_ONCE = 25  # in one statement: each statement gives up the interpreter lock once
_SHORT = 64 << 10  # bytes; to copy more costs more than to look for an adapter

_Get = Callable[[Row], tuple[Any, ...]]


class Inserts:
    """Of one table. A row whose id is there already is passed over."""

    def __init__(self, table: Table) -> None:
        self._table, self._columns = table, list(table.columns)
        self._usual = tuple(map(_usual, self._columns))
        self._told = [at for at, column in enumerate(self._columns) if not (column.nullable or isinstance(column.type, Boolean))]
        self._prepare()

    def write(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """In their order."""
        if not rows:
            return
        self._learn(rows)
        whole = len(rows) // ROWS_AT_ONCE * ROWS_AT_ONCE
        for start in range(0, whole, ROWS_AT_ONCE):
            connection.execute(self._many, self._values(rows[start : start + ROWS_AT_ONCE]))
        if whole < len(rows):
            values, width = self._values(rows[whole:]), len(self._told)
            connection.executemany(self._one, [values[at : at + width] for at in range(0, len(values), width)])

    def _learn(self, rows: Sequence[Row]) -> None:
        """Takes in those columns in which one of the rows has a value that the statement does not say."""
        if not self._untold or set(map(self._of_untold, rows)) <= {self._untold}:
            return
        self._told = sorted({*self._told, *(at for at, usual in enumerate(self._usual) if any(row[at] != usual for row in rows))})
        self._prepare()

    def _prepare(self) -> None:
        told = set(self._told)
        untold = [at for at in range(len(self._columns)) if at not in told]
        self._untold = tuple(self._usual[at] for at in untold)
        self._of_told, self._of_untold = _getter(self._told), _getter(untold)
        self._bytes = [place for place, at in enumerate(self._told) if isinstance(self._columns[at].type, LargeBinary)]
        values = ", ".join("?" if at in told else _literal(usual) for at, usual in enumerate(self._usual))
        self._one, self._many = (_statement(self._table, values, rows) for rows in (1, ROWS_AT_ONCE))

    def _values(self, rows: Sequence[Row]) -> list[Any]:
        values, width = list(chain.from_iterable(map(self._of_told, rows))), len(self._told)
        for place in self._bytes:
            values[place::width] = [bytearray(one) if one and len(one) < _SHORT else one for one in values[place::width]]
        return values


def _usual(column: Column[object]) -> bool | None:
    """What stands there if nobody says anything."""
    return False if isinstance(column.type, Boolean) else None


def _literal(usual: bool | None) -> str:
    return "NULL" if usual is None else "0"


def _getter(places: Sequence[int]) -> _Get:
    """The values at these places: of one alone `itemgetter` would give no tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[at] for at in places)


def _statement(table: Table, values: str, rows: int) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([f'({values})'] * rows)} ON CONFLICT (id) DO NOTHING"
