"""Counts stored exchanges anew, out of their records: those of older versions, which nobody has counted, and all when it is asked for.

In small batches, from the newest back, beside whoever writes: each batch moves what its exchanges add from where it was counted to where
it belongs, in one transaction, so that the sums are right at every moment. `mend` then holds each hour's sums against the exchanges.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.kafka.columns import exchange_columns
from collector.messages.columns import ExchangeColumns
from collector.messages.usage_counts import SUMS
from collector.store.errors import retryable
from collector.store.partitions import edge
from collector.store.rows import fit_text
from collector.store.schema import usage_days, usage_hours
from collector.store.sql_types import FoundRow
from collector.store.usage_book import Book, Counting
from collector.store.usage_deltas import HOURS, Cell, Deltas
from collector.store.usage_statements import KEY_BY_NAME, KEYS_OF_DAY, with_marks

BATCH = 250
ALL = "~"  # behind every id
_IDS = "SELECT id FROM exchanges WHERE id < :before {} ORDER BY id DESC LIMIT :most"
_ROWS = "SELECT id, superseded, time_us, revision, usage_key, usage, data FROM exchanges WHERE id IN :ids ORDER BY id"
_SET = text(
    'UPDATE exchanges SET consumer = :consumer, "user" = :user, protocol = :protocol, annotations = :annotations, billable = :billable,'
    " usage = :usage, usage_key = :key WHERE id = :row"
)
_KEYS = text(f"{KEYS_OF_DAY} :day")
_STATE = text("SELECT ended, uncounted FROM usage_state WHERE id = 1")
_REACHED = text("UPDATE usage_state SET uncounted = :reached WHERE id = 1 AND uncounted IS NOT NULL")
_ADD_KEY, _ADD_HOUR, _ADD_DAY = text(KEY_BY_NAME), text(with_marks(usage_hours, ":")), text(with_marks(usage_days, ":"))
_COUNTED = text(
    "SELECT time_us, revision, usage_key, usage FROM exchanges"
    " WHERE NOT superseded AND usage_key IS NOT NULL AND id >= :first AND id < :behind"
)
_FOLLOWING = text("SELECT id FROM exchanges WHERE id >= :first ORDER BY id LIMIT 1")
_SIZE = text("SELECT count(*) FROM exchanges")
_ABOUT = text("SELECT sum(greatest(reltuples, 0)) FROM pg_class JOIN pg_inherits ON oid = inhrelid WHERE inhparent = 'exchanges'::regclass")
_TOLD = ("consumer", "user", "protocol", "annotations", "billable", "usage")


class Step(NamedTuple):
    """A batch: how many exchanges, how many of them cannot be read, and the id of the oldest."""

    rows: int
    unread: int
    oldest: str


class State(NamedTuple):
    """`ended`: retention has deleted exchanges of days before this one. `uncounted`: see Recount."""

    ended: int
    uncounted: str | None


async def state(connection: AsyncConnection) -> State:
    """How far the sums can be held against the exchanges."""
    row = (await connection.execute(_STATE)).first()
    return State(row.ended, row.uncounted) if row is not None else State(0, None)


class Recount:
    """On a store of either kind. Raises RetryableError."""

    def __init__(self, engine: AsyncEngine, counting: Counting) -> None:
        self._engine, self._book = engine, Book(counting)

    async def uncounted(self) -> str | None:
        """Exchanges of older versions with ids before this one are not counted yet; None: all are."""
        with retryable("usage"):
            async with self._engine.connect() as connection:
                return (await state(connection)).uncounted

    async def step(self, before: str, *, new_only: bool) -> Step | None:
        """The next batch with ids before this one; `new_only`: of exchanges that nobody has counted. None: there are no more."""
        with retryable("usage"):
            try:
                async with self._writing() as connection:
                    return await self._step(connection, before, new_only)
            except BaseException:
                self._book.forget()
                raise

    async def _step(self, connection: AsyncConnection, before: str, new_only: bool) -> Step | None:
        wanted = text(_IDS.format("AND billable IS NULL" if new_only else ""))
        ids = [row.id for row in await connection.execute(wanted, {"before": before, "most": BATCH})]
        if not ids:
            await connection.execute(_REACHED, {"reached": None})
            return None
        lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
        statement = text(_ROWS + lock).bindparams(bindparam("ids", expanding=True))
        rows = (await connection.execute(statement, {"ids": ids})).all()
        ended = edge((await state(connection)).ended)
        told = [(row, _columns(row)) for row in rows]
        await self._begin_days(connection, told)
        deltas, changed = Deltas(), []
        for row, columns in told:
            if row.id < ended and row.usage_key is not None:
                continue  # its day is ended: its sums stay as they are
            key = None if columns is None or row.superseded or row.id < ended else self._book.key_of(columns, row.time_us)
            if not row.superseded:
                _move(deltas, row, key, columns)
            if columns is not None:
                changed.append({"row": row.id, "key": key, **{name: _fitting(getattr(columns, name)) for name in _TOLD}})
        if changed:
            await connection.execute(_SET, changed)
        await self._save(connection, deltas)
        await connection.execute(_REACHED, {"reached": ids[-1]})
        return Step(len(rows), sum(columns is None for _, columns in told), ids[-1])

    async def _begin_days(self, connection: AsyncConnection, told: Sequence[tuple[FoundRow, ExchangeColumns | None]]) -> None:
        """What other writers have added since is known too."""
        for row, columns in told:
            if columns is not None and self._book.key_of(columns, row.time_us) is None:
                for day in list(self._book.missing):
                    self._book.begin(day, [(one.key, one.folded, one.namespace) for one in await connection.execute(_KEYS, {"day": day})])

    async def _save(self, connection: AsyncConnection, deltas: Deltas) -> None:
        if keys := self._book.needed():
            await connection.execute(_ADD_KEY, [key._asdict() for key in keys])
        for statement, table, sums in ((_ADD_HOUR, usage_hours, deltas.by_hour()), (_ADD_DAY, usage_days, deltas.by_day())):
            if sums:
                await connection.execute(statement, [dict(zip(table.columns.keys(), one, strict=True)) for one in sums])

    async def size(self) -> int:
        """How many exchanges there are; a server tells it by its statistics."""
        with retryable("usage"):
            async with self._engine.connect() as connection:
                server = connection.dialect.name == "postgresql"
                return int((await connection.execute(_ABOUT if server else _SIZE)).scalar_one() or 0)

    async def hours(self) -> list[int]:
        """The hours that sums or exchanges are of, without those whose exchanges retention may have deleted; the newest first."""
        with retryable("usage"):
            async with self._engine.connect() as connection:
                ended = (await state(connection)).ended * HOURS
                kept = text("SELECT DISTINCT hour FROM usage_hours WHERE hour >= :ended")
                found = {row.hour for row in await connection.execute(kept, {"ended": ended})}
                first, hour = hour_edge(ended), 0
                while (row := (await connection.execute(_FOLLOWING, {"first": first})).first()) is not None:
                    hour = int(row.id[:8] + row.id[9:13], 16) // 3_600_000
                    found.add(hour)
                    first = hour_edge(hour + 1)
        return sorted(found, reverse=True)

    async def mend(self, hour: int) -> int:
        """Makes an hour's sums, and its day's, what its exchanges say. Returns how many rows of sums were wrong."""
        with retryable("usage"):
            async with self._writing() as connection:
                await _alone(connection)
                hours, days = await differences(connection, hour)
                self._book.forget()
                for statement, table, sums in ((_ADD_HOUR, usage_hours, hours), (_ADD_DAY, usage_days, days)):
                    if sums:
                        rows = [dict(zip(table.columns.keys(), (*cell, *off), strict=True)) for cell, off in sums.items()]
                        await connection.execute(statement, rows)
                return len(hours) + len(days)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction. SQLite's begins as a writer, so that what it reads cannot change before it writes."""
        async with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                await connection.execute(text("BEGIN IMMEDIATE"))
            yield connection
            await connection.commit()
        self._book.saved()


async def differences(connection: AsyncConnection, hour: int) -> tuple[dict[Cell, list[int]], dict[Cell, list[int]]]:
    """What is to be added to the sums of this hour, and to those of its day, so that they are right. Calls that were late stay."""
    deltas = Deltas()
    async with connection.stream(_COUNTED, {"first": hour_edge(hour), "behind": hour_edge(hour + 1)}) as rows:
        async for row in rows:
            deltas.count(row.time_us, row.usage_key, row.revision, row.usage)
    stored = await _stored(connection, "usage_hours WHERE hour = :at", hour)
    found = {cell: sums for cell, sums in deltas.hours.items() if cell[0] == hour}
    hours = _off(found, stored)
    day = hour // HOURS
    by_hours = f"SELECT key, {', '.join(f'sum({name}) AS {name}' for name in SUMS)} FROM usage_hours"
    wanted = text(f"{by_hours} WHERE hour >= :first AND hour < :behind GROUP BY key")
    summed = await connection.execute(wanted, {"first": day * HOURS, "behind": (day + 1) * HOURS})
    of_day = {(day, row.key): [int(getattr(row, name)) for name in SUMS] for row in summed}
    for (_, key), off in hours.items():
        was = of_day.get((day, key), [0] * len(SUMS))
        of_day[day, key] = [one + other for one, other in zip(was, off, strict=True)]
    return hours, _off(of_day, await _stored(connection, "usage_days WHERE day = :at", day), late=True)


async def _stored(connection: AsyncConnection, where: str, at: int) -> dict[Cell, list[int]]:
    rows = await connection.execute(text(f"SELECT key, {', '.join(SUMS)} FROM {where}"), {"at": at})
    return {(at, row.key): [getattr(row, name) for name in SUMS] for row in rows}


def _off(right: dict[Cell, list[int]], stored: dict[Cell, list[int]], *, late: bool = False) -> dict[Cell, list[int]]:
    """What is missing in what is stored; `late`: of calls that were late too."""
    zeroes, found = [0] * len(SUMS), {}
    for cell in right.keys() | stored.keys():
        off = [one - other for one, other in zip(right.get(cell, zeroes), stored.get(cell, zeroes), strict=True)]
        if not late:
            off[SUMS.index("late")] = 0
        if any(off):
            found[cell] = off
    return found


async def _alone(connection: AsyncConnection) -> None:
    """Whoever has changed sums is waited for, and whoever wants to waits: what comes meanwhile is added to what is right."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE usage_hours IN SHARE ROW EXCLUSIVE MODE"))


def hour_edge(hour: int) -> str:
    """The id that every event of this hour or later sorts behind, and every earlier one before."""
    digits = f"{hour * 3_600_000:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def _columns(row: FoundRow) -> ExchangeColumns | None:
    """What its record says; None: it cannot be read."""
    try:
        return exchange_columns(orjson.loads(row.data))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _move(deltas: Deltas, row: FoundRow, key: int | None, columns: ExchangeColumns | None) -> None:
    """Off from where it was counted, and on to where it belongs."""
    if row.usage_key is not None and columns is not None:
        deltas.count(row.time_us, row.usage_key, row.revision, row.usage, -1)
    if key is not None and columns is not None:
        deltas.count(row.time_us, key, row.revision, columns.usage)


def _fitting(value: object) -> object:
    return fit_text(value, None) if isinstance(value, str) else value
