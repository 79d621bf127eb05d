"""Usage: what was billed, by day and by whatever one groups by, and how sure each number is."""

from __future__ import annotations

from fastapi import Request, Response

from collector.page.api import Api
from collector.page.render import Pages
from collector.page.view import SPANS, frame


async def show(request: Request, api: Api, pages: Pages) -> Response:
    """The page. Raises RefusedError."""
    view = await frame("Usage", request, api)
    return pages.answer("usage.html", {"view": view, "rows": [], "spans": SPANS, "since": "30d", "groups": [], "chips": [], "kept": []})
