"""To what an export is fixed: a span of time, and what the store holds when the export begins.

What is stored later has a later place in its journal, so it is left out; a revision that is stored later hides none that was there. So the
same cursor gives the same rows, hours later too. Only what goes (retention) is not there any more, and what is written at an old place (a
dead letter that is sent again, a replay into the store).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from sqlalchemy import ColumnElement, and_, exists, false, literal, literal_column, or_, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.access.looker import Reach
from collector.audit.cursors import Instant, Key
from collector.audit.hints import Aside
from collector.audit.moments import Span
from collector.audit.news import seen
from collector.store.schema import exchanges

_Position = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
_Ordinal = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 31) - 1)]
Held = list[tuple[Key, _Position, _Ordinal]]


class Fixed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The cursor of an export. `query` is its fingerprint, `key` the last id before (empty: it begins), `held` the journals' places."""

    query: str
    key: Key
    since_us: Instant | None
    until_us: Instant | None
    held: Held

    @property
    def span(self) -> Span:
        return Span(self.since_us, self.until_us)

    def behind(self, key: str) -> Fixed:
        """The same, further on."""
        return msgspec.structs.replace(self, key=key)


async def fix(connection: AsyncConnection, query: str, within: Span, covered: Reach) -> Fixed:
    """What the store holds now, of what lies within the reach."""
    held = [(journal, *place) for journal, place in (await seen(connection, covered)).items()]
    return Fixed(query, "", *within, held)


def as_of(held: Held, newest: bool) -> list[ColumnElement[bool]]:
    """The rows that the store held then; with `newest`, of each exchange the revision that was the newest then."""
    column = exchanges.c
    wanted = [_stored(held, column.journal, column.position, column.ordinal)]
    if newest:
        later = exchanges.alias("later").c
        revised = exists().where(
            later.exchange == column.exchange,
            later.revision > literal_column("0"),  # in the words of the partial index
            later.revision > column.revision,
            _stored(held, later.journal, later.position, later.ordinal),
        )
        wanted.append(or_(column.superseded.is_(False), ~revised))
    return wanted


def _stored(held: Held, journal: ColumnElement[str], position: ColumnElement[int], ordinal: ColumnElement[int]) -> ColumnElement[bool]:
    """Rows are found in the order of time: the index on places would only be in the way."""
    each = [and_(Aside(journal) == name, tuple_(Aside(position), ordinal) <= tuple_(literal(at), literal(last))) for name, at, last in held]
    return or_(false(), *each)
