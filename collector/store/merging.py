"""Makes runs of the index of marks out of batches, and larger runs out of small ones, in the background: a task without an end.

It runs where the store is written, beside the writer. Each step is one transaction, so every exchange is told by batches or by runs, or by
both, at any moment; two who do it at once on one server wait for each other, and the second finds its sources gone and does nothing. What
is damaged stays as it is. Until it has come so far, questions are answered from batches, more slowly. Who reads: audit/mark_sources.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import orjson
from sqlalchemy import bindparam, delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import RetryableError
from collector.sqlite.turns import in_turn
from collector.store.errors import retryable
from collector.store.mark_runs import MOST, SPAN_BITS, Content, combined, ids_rows, of_batches, of_rows, pairs_rows, parts
from collector.store.postings import BITS, exchanges_in, numbers_in
from collector.store.schema import mark_ids, mark_pairs, mark_runs, marks

log = logging.getLogger("meshscribe.marks")

EVERY_SECONDS = 10.0
PAUSE_SECONDS = 0.05  # between steps, so that the sink's writer gets its turn
TURN_SECONDS = 10.0
LATE_US = 3_600_000_000  # after its end, exchanges of a span may still come
_AT_ONCE = 100  # batches read in one step
_SPAN_US = 1000 << (BITS + SPAN_BITS)

_SPANS = text(f"""
WITH RECURSIVE s(n) AS (
  SELECT max(bucket) >> {SPAN_BITS} FROM marks
  UNION ALL SELECT (SELECT max(m.bucket) >> {SPAN_BITS} FROM marks m WHERE m.bucket < s.n << {SPAN_BITS}) FROM s WHERE s.n IS NOT NULL
) SELECT n FROM s WHERE n IS NOT NULL
""")
_NUMBERED = text("""
INSERT INTO marks_state (id, run) VALUES (1, :more) ON CONFLICT (id) DO UPDATE SET run = marks_state.run + :more RETURNING run
""")
# A statement with each key as a parameter of its own takes longer to write than to do.
_BATCHES_OF = "DELETE FROM marks WHERE (bucket, batch) IN (SELECT CAST(value ->> 0 AS bigint), CAST(value ->> 1 AS bigint) FROM {keys})"
_KEYS = {"sqlite": "json_each(:keys)", "postgresql": "json_array_elements(CAST(:keys AS json))"}
_RUNS_OF = delete(mark_runs).where(mark_runs.c.run.in_(bindparam("runs", expanding=True)))


class Sizes(NamedTuple):
    """Of one step, and when it is worth while. The defaults are what a process uses."""

    batches: int = 1_000  # taken, at most
    exchanges: int = 8_192  # of batches, at most but for the last batch
    least_batches: int = 256  # of a span that is not over, or:
    least_exchanges: int = 8_192
    small: int = 8_192  # exchanges of a run that is made larger
    least_runs: int = 16  # of a span that is not over


SIZES = Sizes()


class _Batches(NamedTuple):
    keys: list[tuple[int, int]]
    told: list[bytes]


class Merging:
    """The task is `run`; the caller cancels it."""

    def __init__(self, engine: AsyncEngine, clock: Clock, sizes: Sizes = SIZES) -> None:
        self._engine, self._clock, self._sizes = engine, clock, sizes
        self._complaints = Complaints(log, clock)
        self._damaged = set[int]()  # runs

    async def run(self) -> None:
        """A store that does not answer is asked again."""
        while True:
            more = False
            try:
                more = await self.step()
            except RetryableError as error:
                self._complaints.tell("failed", f"{error}: filters by marks take longer until it can be done", logging.WARNING)
            await self._clock.sleep(PAUSE_SECONDS if more else EVERY_SECONDS)

    async def step(self) -> bool:
        """Makes one run, where something is due. Whether it did. Raises RetryableError."""
        with retryable("the index of marks could not be put in order"):
            if not self._is_there():
                return False
            for span in await self._spans():
                if await self._of_batches(span):
                    return True
            return await self._of_runs()

    def _is_there(self) -> bool:
        """A missing file would be made by looking into it."""
        return self._engine.dialect.name != "sqlite" or Path(self._engine.url.database or "").is_file()

    async def _spans(self) -> list[int]:
        """Those that batches are of, the newest first."""
        async with self._engine.connect() as connection:
            return [row.n for row in await connection.execute(_SPANS)]

    def _is_over(self, span: int) -> bool:
        return (span + 1) * _SPAN_US + LATE_US < self._clock.now_us()

    async def _of_batches(self, span: int) -> bool:
        found = await self._batches(span)
        exchanges = sum(map(exchanges_in, found.told))
        due = len(found.keys) >= self._sizes.least_batches or exchanges >= self._sizes.least_exchanges or self._is_over(span)
        if not exchanges or not due:
            return False
        contents = await asyncio.to_thread(of_batches, found.told)
        return await self._replace(found.keys, [], span, contents)

    async def _batches(self, span: int) -> _Batches:
        """The sound ones, as many as one step takes."""
        begin, end = span << SPAN_BITS, (span + 1) << SPAN_BITS
        wanted = select(marks.c.bucket, marks.c.batch, marks.c.told).where(marks.c.bucket >= begin, marks.c.bucket < end)
        wanted = wanted.order_by(marks.c.bucket, marks.c.batch).limit(self._sizes.batches)
        found, exchanges = _Batches([], []), 0
        async with self._engine.connect() as connection, connection.stream(wanted) as rows:
            async for some in rows.partitions(_AT_ONCE):
                for row in (row for row in some if self._is_sound(row.bucket, row.told)):
                    found.keys.append((row.bucket, row.batch))
                    found.told.append(row.told)
                    exchanges += exchanges_in(row.told)
                    if exchanges >= self._sizes.exchanges:
                        return found
        return found

    def _is_sound(self, bucket: int, told: bytes) -> bool:
        try:
            numbers_in(told)
        except ValueError as error:
            self._complaints.tell("damaged", f"a row of the index of marks is damaged (bucket {bucket}): {error}")
            return False
        return True

    async def _of_runs(self) -> bool:
        column = mark_runs.c
        small = select(column.run, column.span, column.count.label("exchanges")).where(column.count < self._sizes.small)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(small.order_by(column.span, column.low))).all()
        for span, runs in groupby((row for row in rows if row.run not in self._damaged), key=attrgetter("span")):
            some = [(row.run, row.exchanges) for row in runs]
            if len(some) >= (2 if self._is_over(span) else self._sizes.least_runs):
                return await self._merge(span, _fitting(some))
        return False

    async def _merge(self, span: int, runs: Sequence[int]) -> bool:
        contents = []
        async with self._engine.connect() as connection:
            for run in runs:
                try:
                    contents.append(await content_of(connection, run))
                except ValueError as error:
                    self._damaged.add(run)
                    self._complaints.tell("damaged", f"run {run} of the index of marks is damaged: {error}")
                    return True
        return await self._replace([], runs, span, [await asyncio.to_thread(combined, contents)])

    async def _replace(self, batches: Sequence[tuple[int, int]], runs: Sequence[int], span: int, contents: Sequence[Content]) -> bool:
        """Whether it was done: not if somebody else has done it."""
        async with in_turn(self._engine, TURN_SECONDS), self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                await connection.execute(text("BEGIN IMMEDIATE"))
            last = (await connection.execute(_NUMBERED, {"more": len(contents)})).scalar_one()
            if not await _delete(connection, batches, runs):
                await connection.rollback()
                return False
            for run, content in enumerate(contents, last - len(contents) + 1):
                row = {"run": run, "span": span, "low": content.low, "high": content.high, "count": len(content.ids)}
                await connection.execute(insert(mark_runs), row)
                await connection.execute(insert(mark_pairs), [one._asdict() for one in pairs_rows(run, content)])
                await connection.execute(insert(mark_ids), [one._asdict() for one in ids_rows(run, content)])
            await connection.commit()
        return True


def _fitting(runs: Iterable[tuple[int, int]]) -> list[int]:
    """The first ones that fit into one."""
    total, found = 0, list[int]()
    for run, count in runs:
        total += count
        if total > MOST and len(found) > 1:
            break
        found.append(run)
    return found


async def content_of(connection: AsyncConnection, run: int) -> Content:
    """What a run holds. Raises ValueError: it is damaged."""
    first, behind = parts(run)
    pairs = select(mark_pairs.c.told).where(mark_pairs.c.run == run).order_by(mark_pairs.c.first)
    ids = select(mark_ids.c.ids).where(mark_ids.c.part >= first, mark_ids.c.part < behind).order_by(mark_ids.c.part)
    told, found = [(await connection.execute(statement)).scalars().all() for statement in (pairs, ids)]
    return await asyncio.to_thread(of_rows, told, found)


async def _delete(connection: AsyncConnection, batches: Sequence[tuple[int, int]], runs: Sequence[int]) -> bool:
    """Whether all of them were there."""
    if batches:
        statement = text(_BATCHES_OF.format(keys=_KEYS[connection.dialect.name]))
        if (await connection.execute(statement, {"keys": orjson.dumps(batches).decode()})).rowcount != len(batches):
            return False
    if runs and (await connection.execute(_RUNS_OF, {"runs": list(runs)})).rowcount != len(runs):
        return False
    for run in runs:
        first, behind = parts(run)
        await connection.execute(delete(mark_pairs).where(mark_pairs.c.run == run))
        await connection.execute(delete(mark_ids).where(mark_ids.c.part >= first, mark_ids.c.part < behind))
    return True
