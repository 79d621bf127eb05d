"""Pages of filters by marks, numbers and words.

What many exchanges have is found by looking through the rows next in time, and the index of marks names the rest; what few have, by the
index at once, which tells how many they are. Filters by numbers alone have no index. Words are named by the index of texts
alone, in the order of time. Either way so many rows are looked at, and then the page ends: it may be short or empty, with the place up to
which it looked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, True_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit import exchange_queries as queries
from collector.audit import mark_queries, pages, text_queries
from collector.audit.hints import Among
from collector.audit.mark_sources import Asked, candidates, first_runs, sources_of
from collector.audit.moments import LAST_US, Span, first_id, past_id
from collector.audit.pages import PORTIONS, Page
from collector.store.schema import exchanges
from collector.store.sql_types import FoundRow, Statement

COLUMNS = (exchanges.c.id, exchanges.c.exchange, exchanges.c.crc, exchanges.c.data)


class Bounds(NamedTuple):
    """Rows that are looked at for one page: the next in time where no index helps; the next in time before the index of marks is asked; and
    those that it names.
    """

    looked_at: int = PORTIONS.looked_at
    before_index: int = 2_000
    candidates: int = 5_000
    at_once: int = 250  # candidates in one statement


BOUNDS = Bounds()


class Found(NamedTuple):
    """A page, and the id behind which the next one begins; None: there is no more."""

    rows: list[FoundRow]
    next: str | None


class Sought(NamedTuple):
    """What is looked for. `seen`: the condition that who asks may see an exchange; of others not even an id is told. `columns` of the rows:
    `id` is among them.
    """

    query: queries.InTime
    within: Span
    seen: ColumnElement[bool] = true()
    columns: Sequence[ColumnElement[object]] = COLUMNS
    bounds: Bounds = BOUNDS
    at_once: int = pages.AT_ONCE  # rows fetched in one step: few where they are large
    size: int = PORTIONS.page_bytes  # of a page

    def page(self, behind: str | None, limit: int, edge: str | None = None) -> Statement:
        """The statement of a page."""
        return queries.page(self.query, self.within, behind, limit, edge=edge).with_only_columns(*self.columns).where(self.seen)

    async def read(self, connection: AsyncConnection, statement: Statement, rows: list[FoundRow], limit: int) -> Page:
        """What has room beside these rows, to which it is added."""
        most = self.size - sum(map(pages.size_of, rows))
        page = await pages.read(connection, statement, limit - len(rows), most, self.at_once)
        rows += page.rows
        return page


async def find(connection: AsyncConnection, sought: Sought, behind: str | None, limit: int) -> Found:
    """The page behind the id `behind`."""
    if sought.query.text is not None:
        words = text_queries.wanted(sought.query.text, sought.within, behind, sought.query.order == "desc")
        return await _named(connection, sought, [], behind, limit, text_queries.candidates(connection, words))
    groups = mark_queries.groups(sought.query)
    rows: list[FoundRow] = []
    if groups and isinstance(sought.seen, True_):  # else what others have would decide where a page ends
        asked = _asked(sought, behind)
        sources = await sources_of(connection, asked)
        first = await first_runs(connection, sources, groups)
        if not first.is_common:
            return await _named(connection, sought, rows, behind, limit, candidates(connection, asked, groups, sources, first))
    looked_at = sought.bounds.before_index if groups else sought.bounds.looked_at
    looked = queries.edge_of(sought.query, sought.within, behind, looked_at).where(sought.seen)
    edge = (await connection.execute(looked)).scalar_one_or_none()
    page = await sought.read(connection, sought.page(behind, limit + 1, edge), rows, limit)
    if page.more:
        return Found(rows, rows[-1].id)
    if edge is None or not groups:
        return Found(rows, edge)
    asked = _asked(sought, edge)
    named = candidates(connection, asked, groups, await sources_of(connection, asked))
    return await _named(connection, sought, rows, edge, limit, named)


def _asked(sought: Sought, behind: str | None) -> Asked:
    first = first_id(sought.within.since_us or 0)
    last = past_id(LAST_US if sought.within.until_us is None else sought.within.until_us)
    if sought.query.order == "desc":
        return Asked(first, last if behind is None else behind, descending=True)
    return Asked(first if behind is None else behind, last, descending=False)


async def _named(
    connection: AsyncConnection, sought: Sought, rows: list[FoundRow], behind: str | None, limit: int, named: AsyncIterator[list[str]]
) -> Found:
    """What of those that an index names fulfils all, until the page is full or enough are looked at. `named`: in order."""
    left = sought.bounds.candidates
    enough = limit + limit // 8 + 1 if mark_queries.is_one(sought.query) else sought.bounds.at_once  # of one nearly all fulfil it
    async for some in _seen_of(connection, sought, named, min(sought.bounds.at_once, enough)):
        statement = sought.page(None, limit - len(rows) + 1).where(Among(exchanges.c.id, some))
        page = await sought.read(connection, statement, rows, limit)
        if page.more:
            return Found(rows, rows[-1].id if page.rows else behind)
        behind = some[-1]
        left -= len(some)
        if left <= 0:
            return Found(rows, behind)
    return Found(rows, None)


async def _seen_of(connection: AsyncConnection, sought: Sought, named: AsyncIterator[list[str]], at_once: int) -> AsyncIterator[list[str]]:
    """Those that who asks may see, so many at a time: what others have decides nothing."""
    waiting, most = list[str](), sought.bounds.at_once
    async for ids in named:
        for at in range(0, len(ids), most):
            waiting += await _seen(connection, ids[at : at + most], sought.seen)
            while len(waiting) >= at_once:
                yield waiting[:at_once]
                waiting, at_once = waiting[at_once:], min(2 * at_once, most)
    if waiting:
        yield waiting


async def _seen(connection: AsyncConnection, ids: list[str], seen: ColumnElement[bool]) -> list[str]:
    """Those that who asks may see."""
    if isinstance(seen, True_):
        return ids
    known = set((await connection.execute(select(exchanges.c.id).where(Among(exchanges.c.id, ids), seen))).scalars())
    return [one for one in ids if one in known]
