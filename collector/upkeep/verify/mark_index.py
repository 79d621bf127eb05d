"""The index of marks against the exchanges: by every mark of its own each is named, so that a filter misses none. The repair names again
whoever is not named, as new batches (store/postings.py).

Exchanges are read in the order of their ids, some at a time, with the batches and runs that may name them. Those without marks are of an
older version: `meshscribe marks` gives them some, and the API says with each answer from when on all have them.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from collector.audit import mark_queries
from collector.audit.moments import Span, first_id, past_id
from collector.messages.marks import NONE, of_column
from collector.store.engine import inserting, snapshot
from collector.store.errors import retryable
from collector.store.mark_runs import Content, of_batches
from collector.store.merging import content_of
from collector.store.postings import bucket_of, id_of, numbers_in, postings
from collector.store.schema import exchanges, marks
from collector.upkeep.verify import Finding, named

CHECK = "index of marks"
AT_ONCE = 2_000  # exchanges
RUNS, BUCKETS = 16, 2  # kept for the exchanges that follow
_REMEDY = "filters by these marks miss them: `meshscribe verify --repair` names them again"
_IDENTITY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNMARKED = text("SELECT count(*) FROM exchanges WHERE id >= :first AND id < :behind AND marks IS NULL")


class _Marked(NamedTuple):
    """An exchange's row: `marks` as in messages/marks.py."""

    id: str
    marks: str


class _Named:
    """Whom the index names by what: hashes by id, and those runs in which everyone has a hash."""

    def __init__(self) -> None:
        self._hashes: dict[str, set[int]] = {}

    def add(self, content: Content, among: frozenset[str]) -> None:
        """What this names of these exchanges."""
        places = {place: identity for place, packed in enumerate(content.ids) if (identity := id_of(packed)) in among}
        for identity in places.values():
            self._hashes.setdefault(identity, set()).update(content.everyone)
        for mark, place in content.marked():
            if place in places:
                self._hashes[places[place]].add(mark)

    def misses(self, exchange: _Marked) -> bool:
        told = self._hashes.get(exchange.id, set())
        return any(crc32(mark.encode("utf-8", "replace")) not in told for mark in of_column(exchange.marks))


class MarkIndex:
    """One look through it."""

    def __init__(self, engine: AsyncEngine, span: Span, *, repair: bool = False, at_once: int = AT_ONCE) -> None:
        self._engine, self._repair, self._at_once = engine, repair, at_once
        self._first = first_id(span.since_us or 0)
        self._behind = past_id(span.until_us) if span.until_us is not None else "~"
        self._runs: OrderedDict[int, Content | None] = OrderedDict()  # None: it cannot be read
        self._buckets: OrderedDict[int, list[Content]] = OrderedDict()  # of batches

    async def look(self, step: Callable[[int], None] = lambda _: None) -> list[Finding]:
        """`step`: told how many exchanges are done. Raises RetryableError."""
        last, read, missed = self._first, 0, list[str]()
        while True:
            with retryable(CHECK):
                async with snapshot(self._engine) as connection:
                    some = await self._next(connection, last)
                    known = [one for one in some if _IDENTITY.fullmatch(one.id)]  # a damaged id is told by other checks
                    lost = await self._lost(connection, known) if known else []
                    if lost and self._buckets:  # what came since they were read
                        self._buckets.clear()
                        lost = await self._lost(connection, lost)
                if lost and self._repair:
                    await self._name_again(lost)
            if not some:
                break
            missed += [one.id for one in lost]
            last, read = some[-1].id, read + len(some)
            step(read)
        with retryable(CHECK):
            async with self._engine.connect() as connection:
                older = (await connection.execute(_UNMARKED, {"first": self._first, "behind": self._behind})).scalar_one()
        said = f"{read} exchanges" + (f", {older} more of an older version have no marks yet (`meshscribe marks`)" if older else "")
        if missed:
            said += f"; it does not name {named(missed)} by all their marks: " + ("they are named again" if self._repair else _REMEDY)
        return [Finding(CHECK, "exchanges", 0 if self._repair else len(missed), said)]

    async def _next(self, connection: AsyncConnection, last: str) -> list[_Marked]:
        column = exchanges.c
        wanted = select(column.id, column.marks).where(column.id > last, column.id < self._behind, column.marks.is_not(None))
        rows = (await connection.execute(wanted.where(column.marks != NONE).order_by(column.id).limit(self._at_once))).all()
        return [_Marked(row.id, row.marks) for row in rows]

    async def _lost(self, connection: AsyncConnection, some: Sequence[_Marked]) -> list[_Marked]:
        """Those that the index does not name by all their marks."""
        low, high = some[0].id, some[-1].id
        among, found = frozenset(one.id for one in some), _Named()
        contents = list[Content]()
        for row in (await connection.execute(*mark_queries.buckets(bucket_of(low), bucket_of(high)))).all():
            contents += await self._of_bucket(connection, row[0])
        for run in (await connection.execute(*mark_queries.runs(low[:-1], high + "~", 0))).all():
            contents += [content] if (content := await self._of_run(connection, run.run)) is not None else []
        for content in contents:
            if content.low <= high and content.high >= low:
                await asyncio.to_thread(found.add, content, among)
        return [one for one in some if found.misses(one)]

    async def _of_run(self, connection: AsyncConnection, run: int) -> Content | None:
        if run not in self._runs:
            try:
                self._runs[run] = await content_of(connection, run)
            except ValueError:
                self._runs[run] = None
            if len(self._runs) > RUNS:
                self._runs.popitem(last=False)
        return self._runs[run]

    async def _of_bucket(self, connection: AsyncConnection, bucket: int) -> list[Content]:
        """What batches tell; remembered: what has become a run since is told by both."""
        if bucket not in self._buckets:
            told = (await connection.execute(select(marks.c.told).where(marks.c.bucket == bucket))).scalars()
            self._buckets[bucket] = await asyncio.to_thread(of_batches, [one for one in told if _is_sound(one)])
            if len(self._buckets) > BUCKETS:
                self._buckets.popitem(last=False)
        return self._buckets[bucket]

    async def _name_again(self, lost: Sequence[_Marked]) -> None:
        rows = [dict(zip(marks.columns.keys(), row, strict=True)) for row in postings((one.id, one.marks) for one in lost)]
        new = inserting(self._engine, marks)
        over = new.on_conflict_do_update(
            index_elements=["bucket", "batch"], set_={"hashes": new.excluded.hashes, "told": new.excluded.told}
        )
        async with self._engine.begin() as connection:
            await connection.execute(over, rows)


def _is_sound(told: bytes) -> bool:
    try:
        numbers_in(told)
    except ValueError:
        return False
    return True
