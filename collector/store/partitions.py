"""The day partitions of a Postgres store: made ahead, attached without stopping anyone, dropped when their time is over.

A partition is a range of event ids, which begin with the request's start in milliseconds: one UTC day. What lies outside all days goes
into the default partition, so that no start time that a proxy tells can fail a batch. Created days are attached, not declared: attaching
does not lock the table's writers. So that it need not look through the default partition under a lock, that gets a constraint first
(nothing of this day is here), which is validated while everybody works on.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import date, timedelta

import asyncpg

log = logging.getLogger("meshscribe.sink")

TABLES = ("exchanges", "payloads", "ledger", "texts")  # every transaction that locks several does it in this order
# A change that waits for a lock keeps everybody behind it waiting: rather give up, and come again.
PATIENCE = "SET LOCAL lock_timeout = '1s'"
DAY_MS = 86_400_000
LOCK = 0x6D65736870617274  # one hand at a time on the partitions of a database; the number is arbitrary, and only this program's
_NAME = re.compile(rf"({'|'.join(TABLES)})_(default|p[0-9]{{8}})")
_EPOCH = date(1970, 1, 1)
_PARTITIONS = """
SELECT parent.relname AS parent, child.relname AS child FROM pg_inherits
JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class child ON child.oid = inhrelid
WHERE parent.oid = ANY ($1::text[]::regclass[])
"""


def is_partition(table: str) -> bool:
    """Whether a table of this name is a partition, made here and not by a migration."""
    return _NAME.fullmatch(table) is not None


def day_of(event: str) -> int:
    """The day, since 1970-01-01 in UTC, of an event id."""
    return int(event[:8] + event[9:13], 16) // DAY_MS


def edge(day: int) -> str:
    """The id that every event of this day or later sorts behind, and every earlier one before."""
    digits = f"{day * DAY_MS:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def name(table: str, day: int) -> str:
    """The partition's name, such as exchanges_p20251122."""
    return f"{table}_p{_EPOCH + timedelta(days=day):%Y%m%d}"


async def days(connection: asyncpg.Connection) -> dict[int, set[str]]:
    """The days that have partitions, each with the tables that have one."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for row in await connection.fetch(_PARTITIONS, list(TABLES)):
        digits = row["child"].removeprefix(f"{row['parent']}_p")
        if digits.isdecimal():
            found[(date.fromisoformat(digits) - _EPOCH).days].add(row["parent"])
    return dict(found)


async def create(connection: asyncpg.Connection, wanted: Iterable[int]) -> set[int]:
    """Makes these days' partitions where they are missing; returns all days that are whole now. Raises asyncpg's errors; what was begun
    is finished by the next call, whoever makes it.
    """
    async with alone(connection):
        have = await days(connection)
        for day in sorted(wanted):
            for table in TABLES:
                if table not in have.get(day, ()):
                    await _add(connection, table, day)
        return {day for day, tables in (await days(connection)).items() if len(tables) == len(TABLES)}


@asynccontextmanager
async def alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Nobody else makes or drops partitions meanwhile."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def _add(connection: asyncpg.Connection, table: str, day: int) -> None:
    child, default, guard = name(table, day), f"{table}_default", f"not_{name(table, day)}"
    low, high = edge(day), edge(day + 1)
    begun = await connection.fetchval("SELECT true FROM pg_constraint WHERE conrelid = $1::text::regclass AND conname = $2", default, guard)
    if not begun:
        if await connection.fetchval("SELECT to_regclass($1)", child) is not None:
            log.warning("a table %s exists that is no partition of %s: what belongs into it goes into %s", child, table, default)
            return
        async with connection.transaction():
            await connection.execute(PATIENCE)
            await connection.execute(f"CREATE TABLE {child} (LIKE {table} INCLUDING ALL)")
            await connection.execute(f"ALTER TABLE {default} ADD CONSTRAINT {guard} CHECK (id < '{low}' OR id >= '{high}') NOT VALID")
    async with connection.transaction():
        await connection.execute(PATIENCE)
        await connection.execute(
            f"WITH strays AS (DELETE FROM {default} WHERE id >= '{low}' AND id < '{high}' RETURNING *) "
            f"INSERT INTO {child} SELECT * FROM strays"
        )
        await connection.execute(f"ALTER TABLE {default} VALIDATE CONSTRAINT {guard}")
        await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {child} FOR VALUES FROM ('{low}') TO ('{high}')")
        await connection.execute(f"ALTER TABLE {default} DROP CONSTRAINT {guard}")


async def drop(connection: asyncpg.Connection, day: int) -> None:
    """Drops a day, from all tables at once. Raises asyncpg's errors, LockNotAvailableError among them: then nothing was dropped."""
    async with connection.transaction():
        await connection.execute(PATIENCE)
        for table in TABLES:
            await connection.execute(f"DROP TABLE IF EXISTS {name(table, day)}")


async def clear_default(connection: asyncpg.Connection, before: int, at_once: int) -> int:
    """Deletes at most `at_once` rows of each default partition that are older than this day; returns how many."""
    deleted = 0
    for table in TABLES:
        default = f"{table}_default"
        status = await connection.execute(
            f"DELETE FROM {default} WHERE id IN (SELECT id FROM {default} WHERE id < $1 ORDER BY id LIMIT $2)", edge(before), at_once
        )
        deleted += int(status.rpartition(" ")[2])
    return deleted
