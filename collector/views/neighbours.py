"""The exchanges before and behind one in the list that it was opened from: inside the same filters, and the same span of time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from fastapi import Request

from collector.access.looker import Reach, Right
from collector.audit import grammar
from collector.audit.cursors import Cursor, encode, fingerprint
from collector.audit.documents import ExchangePage
from collector.audit.looking import ForbiddenError, reach
from collector.audit.moments import Span, parse, span
from collector.audit.parameters import ExchangeFilters
from collector.views.api import Api
from collector.views.columns import PARAMETER
from collector.views.view import ALL_TIME


class Listed(NamedTuple):
    """The list that an exchange was opened from: what it asks for, its span of time, and how far who looks may see."""

    asked: Mapping[str, str]
    within: Span
    reach: Reach


def listed(request: Request, filters: Mapping[str, str], now_us: int) -> Listed | None:
    """None: no list is asked for so, or not by this person."""
    asked = {name: value for name, value in filters.items() if value and name not in ("cursor", "limit", "order", PARAMETER)}
    if asked.get("since") == ALL_TIME:
        del asked["since"]
    try:
        times = {**grammar.parameters(asked.get("q", ""), ExchangeFilters.model_fields.keys() - {"q"}), **asked}
        since, until = (parse(times[name]) if name in times else None for name in ("since", "until"))
        return Listed(asked, span(since, until, now_us), reach(request, Right.EXCHANGES))
    except (ValueError, ForbiddenError):
        return None


async def beside(api: Api, exchange: str, found: Listed | None) -> tuple[str | None, str | None]:
    """The ids of the exchanges before and behind this one in the list that it was opened from."""
    if found is None:
        return None, None
    return await asyncio.gather(_next(api, exchange, found, "asc"), _next(api, exchange, found, "desc"))


async def _next(api: Api, exchange: str, found: Listed, order: str) -> str | None:
    asked = {**found.asked, "order": order}
    cursor = encode(Cursor(fingerprint([("", "/v1/exchanges"), *asked.items()], found.reach), exchange, *found.within))
    page = await api.unseen(
        ExchangePage, "/v1/exchanges", {**asked, "limit": 1, "cursor": cursor}
    )  # the page tells its id alone: that is no look
    return page["items"][0]["id"] if page and page["items"] else None
