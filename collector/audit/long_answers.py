"""Long answers, which are sent piece by piece for as long as their client reads, or for ever.

Each holds a page in memory: so there is a seat for each, and a bound on seats. Whether who reads may still have it is asked anew: whoever
stands before the routes puts `ask_again` into the request's state; where nothing stands, nobody is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from collector.access.proof import NotProvenError
from collector.audit.looking import looker
from collector.clock import Clock
from collector.errors import RetryableError

AGAIN_SECONDS = 10.0
GONE = "what you showed proves nobody any more: it has ended or was taken back"
CHANGED = "your rights are others than when this answer began: ask again"
UNKNOWN = "who you are cannot be checked now: whoever has to be asked does not answer"


class NoSeatError(Exception):
    """All seats are taken, or all that one client may have: 429."""

    def __init__(self, what: str, quota: int, mine: bool, setting: str) -> None:
        whose = "of this client" if mine else "in all"
        super().__init__(f"{quota} {what} {whose} are under way ({setting}): wait until one has ended.")
        self.what, self.quota = what, quota


class Seats:
    """So many in all, and so many for one client. `what` is also the setting's name."""

    def __init__(self, what: str, in_all: int, each: int) -> None:
        self._what, self._in_all, self._each = what, in_all, each
        self._taken = Counter[str]()

    def take(self, client: str) -> Seat:
        """Raises NoSeatError."""
        if self._taken[client] >= self._each:
            raise NoSeatError(self._what, self._each, True, f"audit.client_{self._what}")
        if self._taken.total() >= self._in_all:
            raise NoSeatError(self._what, self._in_all, False, f"audit.{self._what}")
        self._taken[client] += 1
        return Seat(self, client)

    def leave(self, client: str) -> None:
        """One is free again."""
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]

    @property
    def taken(self) -> int:
        return self._taken.total()


class Seat:
    """Taken until it is left; leaving it twice does no harm."""

    def __init__(self, seats: Seats, client: str) -> None:
        self._seats, self._client = seats, client
        self._left = False

    def leave(self) -> None:
        """It is free."""
        if not self._left:
            self._left = True
            self._seats.leave(self._client)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Until the end of this, unless it ends well: then whoever goes on with the answer leaves it."""
        try:
            yield
        except BaseException:
            self.leave()
            raise


class Standing:
    """Of one answer. Looked at again after so many seconds, when `fault` is asked."""

    def __init__(self, request: Request, clock: Clock, seconds: float = AGAIN_SECONDS) -> None:
        self._request, self._clock, self._seconds = request, clock, seconds
        self._proven_us = clock.monotonic_us()

    async def fault(self) -> str | None:
        """Why the answer is to end here; None: it may go on."""
        again = getattr(self._request.state, "ask_again", None)
        if again is None or self._clock.monotonic_us() - self._proven_us < self._seconds * 1_000_000:
            return None
        try:
            found = await again()
        except NotProvenError:
            return GONE
        except RetryableError:
            return UNKNOWN
        self._proven_us = self._clock.monotonic_us()
        if found is None:
            return GONE
        return None if found.rights == looker(self._request).rights else CHANGED


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
