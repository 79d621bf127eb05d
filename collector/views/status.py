"""Status: every part of this process, and what it says of itself."""

from __future__ import annotations

import asyncio

from fastapi import Request, Response

from collector.audit.documents import Readiness
from collector.page.render import Pages
from collector.views.api import Api
from collector.views.view import frame


async def show(request: Request, api: Api, pages: Pages) -> Response:
    """The page; a process that is not ready shows it as well."""
    view, found = await asyncio.gather(frame("Status", request, api), api.whatever(Readiness, "/readyz"))
    parts = found.get("components", [])
    failing = [part["name"] for part in parts if not part["ok"]]
    verdict = "Every part works." if found.get("ok") else f"Not ready: {', '.join(failing) or 'it is starting'}."
    return pages.answer("status.html", {"view": view, "verdict": verdict, "parts_told": parts})
