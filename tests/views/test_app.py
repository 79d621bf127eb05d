"""Pages ask the API side by side, and leave nothing behind."""

from __future__ import annotations

import asyncio

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from collector.page.render import Pages
from collector.views.api import Api
from collector.views.app import _shown


async def test_a_page_that_is_refused_leaves_no_question_behind() -> None:
    running: set[str] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.add(scope["path"])
        try:
            if scope["path"] == "/slow":
                await asyncio.Event().wait()
            await send({"type": "http.response.start", "status": 429})
            await send({"type": "http.response.body", "body": b"{}"})
        finally:
            running.discard(scope["path"])

    asking = {"type": "http", "asgi": {}, "scheme": "http", "headers": [], "client": None, "server": None, "path": "/", "query_string": b""}
    left: list[set[str]] = []

    async def show(api: Api) -> Response:
        try:
            await asyncio.gather(api.get(dict, "/slow"), api.get(dict, "/refused"))
        finally:
            left.append(set(running))
        raise AssertionError

    answer = await _shown(Request(asking), Api(app, asking, 100), Pages(), show)
    assert (answer.status_code, left, running) == (429, [{"/slow"}], set())
