"""Rows dated ahead of their time, by a clock that was ahead: they end with what was written beside them.

An exchange begins no more than 30 days before it is received, and no more than a day after (correlate/numbers.py). So a row that was
written before another one, and is dated LATE_DAYS after that one's day or later, was dated by a clock that was wrong: when the other is
too old, so is it. Without this it would stay, and be listed first, until its date comes.
"""

from __future__ import annotations

import sqlite3

import asyncpg

from collector.store.partitions import edge, name

LATE_DAYS = 32
_PLACED = ("exchanges", "ledger")
Written = dict[tuple[str, str], int]  # (table, journal) → the last position of what is too old

_PAYLOADS = "DELETE FROM payloads WHERE id >= substr({id}, 1, 13) AND id < substr({id}, 1, 13) || 'g' AND exchange = {id}"
_TEXTS = "DELETE FROM texts WHERE id = {id}"


def later(one: Written, other: Written) -> Written:
    """The later place of each."""
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in one.keys() | other.keys()}


def first_suspect(before: int) -> str:
    """The first id that is too far ahead of what is older than this day."""
    return edge(before + LATE_DAYS)


def written_sqlite(connection: sqlite3.Connection, table: str, before: str) -> Written:
    """Up to where the journals had come when what is older than this id was written. Looks at nothing else."""
    if table not in _PLACED:
        return {}
    rows = connection.execute(f"SELECT journal, max(position) FROM {table} WHERE id < ? GROUP BY journal", (before,))
    return {(table, journal): position for journal, position in rows}


def suspects_sqlite(connection: sqlite3.Connection, written: Written, first: str, at_once: int) -> list[tuple[str, str]]:
    """(table, id) of at most so many rows that are too far ahead, found by their places: few are left there."""
    found: list[tuple[str, str]] = []
    for (table, journal), position in written.items():
        rows = connection.execute(
            f"SELECT id FROM {table} WHERE journal = ? AND position <= ? AND +id >= ? LIMIT ?",
            (journal, position, first, at_once - len(found)),
        )
        found += [(table, row[0]) for row in rows]
    return found


def end_sqlite(connection: sqlite3.Connection, found: list[tuple[str, str]]) -> None:
    """Deletes these, and the bodies and words of exchanges, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for table, identity in found:
        connection.execute(f"DELETE FROM {table} WHERE id = ?", (identity,))
        if table == "exchanges":
            for statement in (_TEXTS, _PAYLOADS):
                connection.execute(statement.format(id="?1"), (identity,))
    connection.execute("COMMIT")


async def written_postgres(connection: asyncpg.Connection, day: int) -> Written:
    """The same of one day's partitions."""
    found: Written = {}
    for table in _PLACED:
        if await connection.fetchval("SELECT to_regclass($1)", name(table, day)) is not None:
            for row in await connection.fetch(f"SELECT journal, max(position) AS last FROM {name(table, day)} GROUP BY journal"):
                found[table, row["journal"]] = row["last"]
    return found


async def end_postgres(connection: asyncpg.Connection, written: Written, first: str) -> int:
    """Deletes what is too far ahead of it; returns how many rows of exchanges and windows."""
    deleted = 0
    for (table, journal), position in written.items():
        async with connection.transaction():
            gone = await connection.fetch(
                f"DELETE FROM {table} WHERE journal = $1 AND position <= $2 AND id >= $3 RETURNING id", journal, position, first
            )
            if table == "exchanges":
                for statement in (_TEXTS, _PAYLOADS):
                    await connection.executemany(statement.format(id="$1::text"), [(row["id"],) for row in gone])
        deleted += len(gone)
    return deleted
