"""What windows counted as missing, or as lacking a witness, and what came after all: read from the windows in which it came.

A cure counts for the window that it takes back, wherever it was told, and never for more than that window counted: one whose window is
gone (too old to be kept) takes back nothing of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit import ledger_queries as queries
from collector.audit.ledger_items import Cures, read_cures
from collector.audit.ledger_queries import Proxy, Sought
from collector.audit.moments import Span
from collector.messages.ledger import CURABLE
from collector.store.sql_types import FoundRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_CURES = Cures()  # nor of a damaged window: then too much is called lost, never too little

Wanted = dict[tuple[str, str, int], Counter[str]]  # node, sender, start of the window → what came of it


class Cured(NamedTuple):
    """What of one window came after all."""

    id: str
    proxy: Proxy
    time_us: int
    counts: Counter[str]


async def by_window(connection: AsyncConnection, query: Sought, span: Span, of: Sequence[Proxy]) -> dict[str, Counter[str]]:
    """Per id of a window of these proxies in the span."""
    found: dict[str, Counter[str]] = {}
    async for one in each(connection, query, span, of):
        found.setdefault(one.id, Counter()).update(one.counts)
    return found


async def by_proxy(connection: AsyncConnection, query: Sought, span: Span, of: Sequence[Proxy] | None) -> dict[Proxy, Counter[str]]:
    """Summed over the windows of the span, of these proxies or of all."""
    found: dict[Proxy, Counter[str]] = {}
    async for one in each(connection, query, span, of):
        found.setdefault(one.proxy, Counter()).update(one.counts)
    return found


async def each(connection: AsyncConnection, query: Sought, span: Span, of: Sequence[Proxy] | None) -> AsyncIterator[Cured]:
    """What came after all, window by window of the span, of these proxies or of all."""
    async for wanted in _chunks(connection, query, span, of):
        async for one in _taken(connection, query, span, of, wanted):
            yield one


async def _chunks(connection: AsyncConnection, query: Sought, span: Span, of: Sequence[Proxy] | None) -> AsyncIterator[Wanted]:
    wanted: Wanted = {}
    rows = await connection.stream(queries.cures(query, span, of), execution_options={"yield_per": 500})
    async for node, sender, data in rows:
        for name, starts in (read_cures(data) or _NO_CURES).cured.items():
            for start, number in starts.items() if name in CURABLE else ():
                start_us = (start - _EPOCH) // _MICROSECOND
                if (span.since_us or 0) <= start_us and (span.until_us is None or start_us < span.until_us):
                    wanted.setdefault((node, sender, start_us), Counter())[name] += number
        if len(wanted) >= query.portions.cured_windows:
            yield wanted
            wanted = {}
    await rows.close()
    if wanted:
        yield wanted


async def _taken(
    connection: AsyncConnection, query: Sought, span: Span, of: Sequence[Proxy] | None, wanted: Wanted
) -> AsyncIterator[Cured]:
    """What is wanted, window by window, as far as each counted it. At a start there may be a window of every proxy there is."""
    starts = iter(sorted({start for _, _, start in wanted}))
    while some := list(islice(starts, query.portions.cured_starts)):
        async with connection.stream(queries.curable(query, span, some, of), execution_options={"yield_per": 500}) as rows:
            async for row in rows:
                counts = _cure(row, wanted.get((row.node, row.sender, row.time_us)))
                if counts:
                    yield Cured(row.id, (row.node, row.sender), row.time_us, counts)


def _cure(row: FoundRow, left: Counter[str] | None) -> Counter[str]:
    """What of the window came after all; it is taken from what is left."""
    if left is None:
        return Counter()
    counts = Counter({name: min(left[name], getattr(row, name)) for name in CURABLE if left[name] > 0 and getattr(row, name) > 0})
    left.subtract(counts)
    return counts
