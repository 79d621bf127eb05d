"""Answers that are sent piece by piece, for as long as their client reads, or for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Streamed(StreamingResponse):
    """When it ends, however it does, `after` is done, then `told`. To HEAD it has no body."""

    def __init__(
        self,
        body: AsyncGenerator[bytes],
        media_type: str,
        after: Sequence[Callable[[], None]],
        headers: Mapping[str, str] | None = None,
        told: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._body, self._after, self._told = body, after, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope.get("state", {}).get("head"):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b""})
            else:
                await super().__call__(scope, receive, send)
        finally:
            for done in self._after:
                done()
            await self._body.aclose()
            if self._told is not None:
                await self._told()
