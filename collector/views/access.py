"""Access: who has looked at the log, at what of it, and why."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from fastapi import Request, Response

from collector.access.look import LookData
from collector.audit.documents import LookPage
from collector.page.render import Pages, link
from collector.views.api import Api
from collector.views.view import Chip, frame

LIMIT = 100
_OF_EXCHANGE = re.compile(r"/(?:v1/)?exchanges/([0-9a-f-]{36})(?:/|$)")
PROOFS = {
    "oidc": "by single sign-on",
    "kubernetes": "by Kubernetes",
    "mesh": "by the mesh",
    "token": "by a token",
    "session": "by a browser's session",
    "nothing": "nobody was asked",
}


async def show(request: Request, api: Api, pages: Pages) -> Response:
    """The page. Raises RefusedError: not for this person."""
    filters = {name: value for name, value in request.query_params.items() if value}
    view, found = await asyncio.gather(frame("Access", request, api), api.get(LookPage, "/v1/access", {**filters, "limit": LIMIT}))
    return pages.answer(
        "access.html",
        {
            "view": view,
            "rows": [_row(one, filters) for one in found["items"]],
            "chips": [Chip(name, value, _without(filters, name)) for name, value in filters.items() if name != "cursor"],
            "older": link("/access", filters, cursor=found["next"]) if found.get("next") else "",
        },
    )


def _without(filters: Mapping[str, str], name: str) -> str:
    return link("/access", {key: kept for key, kept in filters.items() if key not in (name, "cursor")})


def _exchange(path: str) -> str:
    """The page of the exchange that was looked at."""
    found = _OF_EXCHANGE.match(path)
    return f"/exchanges/{found[1]}" if found else ""


def _row(one: LookData, filters: Mapping[str, str]) -> dict[str, object]:
    status, who = one.get("status", 200), one.get("who", {})
    refused = isinstance(status, int) and status >= 400
    return {
        "time": one.get("time", ""),
        "who": who.get("name", "Not named"),
        "proof": PROOFS.get(who.get("proof", ""), ""),
        "href": link("/access", filters, who=who.get("name"), cursor=None) if "name" in who else "",
        "exchange": _exchange(str(one.get("path", ""))),
        "action": f"{one.get('action', '')}, refused ({status})" if refused else one.get("action", ""),
        "level": "bad" if refused else "quiet",
        "filter": one.get("filter") or one.get("path", ""),
        "count": one.get("count"),
        "reason": one.get("reason", ""),
        "address": one.get("from", ""),
    }
