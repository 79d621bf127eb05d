"""What one client can hold of an HTTP listener. uvicorn bounds none of it by itself:

- connections are counted, and one too many is answered 503 and closed;
- a request's head, or a body's trailers, may have so many bytes; more are answered 431;
- a request has so long to arrive, and so has the first one of a connection; then it is answered 408;
- a client that sends requests without waiting for answers may be so many ahead.

Each is counted by reason. Bodies have bounds of their own (receive/content.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

AHEAD = 16  # Envoy never is
TOO_MANY, TOO_LARGE, TOO_SLOW = "too_many", "too_large", "too_slow"
REASONS = (TOO_MANY, TOO_LARGE, TOO_SLOW)
_ANSWERS = {
    TOO_MANY: (503, b"retry-after: 1\r\n", "too many connections: try again"),
    TOO_LARGE: (431, b"", "the request's header fields are too large"),
    TOO_SLOW: (408, b"", "the request did not arrive in time"),
}


class Bounds(NamedTuple):
    """Of one listener. A read may exceed `head_bytes` by what the loop reads at once, 256 KiB."""

    connections: int
    head_bytes: int = 64 << 10
    seconds: float = 60.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, bounds: Bounds, count: Callable[[str], None], **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._bounds, self._count = bounds, count
        self._waiting_since: float | None = None  # for the rest of a request
        self._advanced = False
        self._stuck_bytes = 0  # received since the last that came to something
        self._answering: Any = None  # the request that is worked on: uvicorn's own `cycle` is the last that came

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        if len(self.connections) > self._bounds.connections:
            self.refuse(TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn tells only the last request that came: of several sent ahead, the one under way would be answered into nothing."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._advanced = False
        super().data_received(data)
        if self._advanced:
            self._stuck_bytes = 0
            return
        if self._waiting_since is None:  # blank lines between requests begin none, and have ended uvicorn's own wait
            self._waiting_since = self.loop.time()
        self._stuck_bytes += len(data)
        if self._stuck_bytes > self._bounds.head_bytes:
            self.refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._waiting_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._advanced = True
        if len(self.pipeline) >= AHEAD:
            raise ValueError("too many requests ahead of their answers")  # httptools makes a parser's error of it: 400, and the end
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._advanced, self._waiting_since = True, None
        super().on_message_complete()

    def refuse_if_late(self, now: float) -> None:
        """To be asked from time to time, by the loop's clock."""
        if self._waiting_since is not None and now - self._waiting_since > self._bounds.seconds:
            self.refuse(TOO_SLOW)

    def refuse(self, reason: str) -> None:
        """Ends the connection, with an answer where none is under way."""
        if self.transport.is_closing():
            return
        self._count(reason)
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(reason))
        self.transport.close()


def _answer(reason: str) -> bytes:
    status, header, detail = _ANSWERS[reason]
    line = STATUS_LINE[status]
    title = line.split(b" ", 2)[2].strip().decode()
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    length = b"content-length: %d\r\n" % len(body)
    return line + b"content-type: application/problem+json\r\n" + length + header + b"connection: close\r\n\r\n" + body
