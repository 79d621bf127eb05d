"""Answers that are sent piece by piece, for as long as their client reads, or for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from collector.audit.seats import Seat


class Streamed(StreamingResponse):
    """Leaves its seat when it ends, however it does. To HEAD it has no body."""

    def __init__(self, body: AsyncIterator[bytes], seat: Seat, media_type: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._seat = seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope.get("state", {}).get("head"):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b""})
            else:
                await super().__call__(scope, receive, send)
        finally:
            self._seat.leave()
