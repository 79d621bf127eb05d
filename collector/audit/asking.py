"""What every list is asked for: how many items, which page, which span of time."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fastapi import Request

from collector.access.looker import Reach
from collector.audit import cursors
from collector.audit.cursors import Cursor
from collector.audit.moments import Moment, Span, span
from collector.audit.pages import DEFAULT_LIMIT
from collector.audit.problems import BadParametersError, Fault
from collector.clock import Clock
from collector.settings import Audit


class Paged(Protocol):
    """Parameters of a list."""

    @property
    def limit(self) -> int | None: ...
    @property
    def cursor(self) -> str | None: ...


class Timed(Protocol):
    """Parameters of a list of a span of time."""

    @property
    def since(self) -> Moment | None: ...
    @property
    def until(self) -> Moment | None: ...


class Asked(NamedTuple):
    """A page of a query. `query` is the fingerprint that binds its cursors."""

    limit: int
    query: str
    cursor: Cursor | None

    def within(self, query: Timed, clock: Clock) -> Span:
        """The span of time: on later pages what the first one's relative times meant."""
        return self.cursor.span if self.cursor else span(query.since, query.until, clock.now_us())

    def next(self, key: str | None, within: Span | tuple[()] = ()) -> str | None:
        """The cursor of the page behind the item with this key; None: there is none."""
        return None if key is None else cursors.encode(Cursor(self.query, key, *within))


def asked(request: Request, query: Paged, settings: Audit, reach: Reach) -> Asked:
    """A cursor is of one query within one reach.

    Raises BadParametersError if the page is longer than the setting allows, or the cursor is not of this query.
    """
    if query.limit is not None and query.limit > settings.page_limit:
        raise BadParametersError([Fault("limit", f"must be at most {settings.page_limit} (the setting audit.page_limit)")])
    fingerprint = cursors.fingerprint([("", request.url.path), *request.query_params.multi_items()], reach)
    try:
        cursor = cursors.decode(query.cursor, fingerprint) if query.cursor is not None else None
    except ValueError as error:
        raise BadParametersError([Fault("cursor", str(error))]) from None
    return Asked(query.limit or min(DEFAULT_LIMIT, settings.page_limit), fingerprint, cursor)
