"""Answers without their body: 304 to a client that has it already (If-None-Match), and what HEAD asks for.

The tag is a hash of the answer itself, so it is right whoever asks, whatever a later revision or another look adds to it. Answers stay
`no-store`: prompts belong on no disk but the store's; a client that keeps its own copy is what this is for. HEAD is looked up and told of
as GET is: its headers say as much of what is stored.
"""

from __future__ import annotations

from hashlib import sha256

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def tagged(request: Request, answer: Response) -> Response:
    """The answer with its ETag, or 304. Errors have none."""
    if answer.status_code != 200:
        return answer
    about = repr(sorted(value for value in answer.headers.items() if value[0].startswith(("content-type", "meshscribe-"))))
    tag = f'"{sha256(about.encode() + bytes(answer.body)).hexdigest()[:32]}"'
    answer.headers["ETag"] = tag
    if not _has(request.headers.get("if-none-match", ""), tag):
        return answer
    kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    return Response(status_code=304, headers=kept)


def _has(told: str, tag: str) -> bool:
    """Whether one of the tags is this one, weak or strong (RFC 9110, 13.1.2)."""
    return told.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in told.split(","))


class Heads:
    """Stands before the routes, which know of GET alone. Streams ask for `head` in the request's state, and end at once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        scope.setdefault("state", {})["head"] = True
        asked: Scope = {**scope, "method": "GET"}
        try:
            await self.app(asked, receive, without_body)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # by which it is counted
