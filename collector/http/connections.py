"""What one client can hold of an HTTP listener. uvicorn bounds none of it by itself:

- connections are counted. For one too many, the one that has asked for nothing for longest is closed, if that is for some seconds;
  else the new one is answered 503 and closed, unless it is one of a few more that may ask for certain paths: probes, for example;
- a request's head, or a body's trailers, may have so many bytes; more are answered 431;
- a request has so long to arrive, and so has the first one of a connection; then it is answered 408;
- a client that sends requests without waiting for answers may be so many ahead.

Each is counted by reason. What is no request that can be read is answered 400, as a problem (RFC 9457) like all others, and not counted.
Bodies have bounds of their own (receive/content.py).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

AHEAD = 16  # Envoy never is
TOO_MANY, TOO_LARGE, TOO_SLOW, IDLE = "too_many", "too_large", "too_slow", "idle"
UNREADABLE = "unreadable"
REASONS = (TOO_MANY, TOO_LARGE, TOO_SLOW, IDLE)
_ANSWERS = {
    TOO_MANY: (503, b"retry-after: 1\r\n", "too many connections: try again"),
    TOO_LARGE: (431, b"", "the request's header fields are too large"),
    TOO_SLOW: (408, b"", "the request did not arrive in time"),
    UNREADABLE: (400, b"", "this is no HTTP request, or its address is longer than 65535 bytes"),
}


class Bounds(NamedTuple):
    """Of one listener. A read may exceed `head_bytes` by what the loop reads at once, 256 KiB.

    `reserve`: connections more, on which only `reserved` paths are answered. `idle_seconds`: without a request for so long a connection
    may have to make room.
    """

    connections: int
    head_bytes: int = 64 << 10
    seconds: float = 60.0
    reserve: int = 0
    reserved: frozenset[bytes] = frozenset()
    idle_seconds: float = 2.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, bounds: Bounds, count: Callable[[str], None], **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._bounds, self._count = bounds, count
        self._waiting_since: float | None = None  # for the rest of a request
        self._advanced = False
        self._stuck_bytes = 0  # received since the last that came to something
        self._answering: RequestResponseCycle | None = None  # the request that is worked on: uvicorn's own `cycle` is the last that came
        self._idle_since = 0.0  # if it is
        self._is_reserve = self._misused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waiting_since = self._idle_since = self.loop.time()
        if len(self.connections) > self._bounds.connections and not self._made_room():
            self.refuse(TOO_MANY)

    def idle_seconds(self, now: float) -> float | None:
        """How long nothing has been asked for; None: something is being answered, or the connection is ending."""
        busy = self._answering is not None and not self._answering.response_complete
        return None if busy or self.transport.is_closing() else now - self._idle_since

    def _made_room(self) -> bool:
        """Whether this connection may stay: for one that is idle, or as one of the reserve, which its idlest leaves at once."""
        others = [one for one in self.connections if one is not self and isinstance(one, BoundedProtocol)]
        if _close_idlest(others, self._bounds.idle_seconds, self.loop.time()):
            return True
        if not self._bounds.reserve:
            return False
        self._is_reserve = True
        reserve = [one for one in others if one._is_reserve and not one.transport.is_closing()]
        return len(reserve) < self._bounds.reserve or _close_idlest(reserve, 0.0, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn tells only the last request that came: of several sent ahead, the one under way would be answered into nothing."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
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
        if self._is_reserve and self.url.partition(b"?")[0] not in self._bounds.reserved:
            if len(self.connections) > self._bounds.connections:
                self._misused = True
                raise ValueError("this connection is for probes")
            self._is_reserve = False  # others have left meanwhile
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        del msg
        if self._misused:
            self.refuse(TOO_MANY)
            return
        self.transport.write(_answer(UNREADABLE))
        self.transport.close()

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
        if reason is IDLE:
            self.transport.close()  # as after any keep-alive: who has not asked is not answered
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(reason))
        self.transport.close()


def _close_idlest(connections: list[BoundedProtocol], at_least: float, now: float) -> bool:
    """Whether there was one."""
    idle = [(seconds, one) for one in connections if (seconds := one.idle_seconds(now)) is not None and seconds >= at_least]
    if not idle:
        return False
    max(idle, key=itemgetter(0))[1].refuse(IDLE)
    return True


def _answer(reason: str) -> bytes:
    status, header, detail = _ANSWERS[reason]
    line = STATUS_LINE[status]
    title = line.split(b" ", 2)[2].strip().decode()
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    length = b"content-length: %d\r\n" % len(body)
    return line + b"content-type: application/problem+json\r\n" + length + header + b"connection: close\r\n\r\n" + body
