"""Whether somebody may still have a long answer that he began to read: he is asked anew who he is, and what he may see.

Whoever stands before the routes puts `ask_again` into the request's state; where nothing stands, nobody is asked.
"""

from __future__ import annotations

from fastapi import Request

from collector.access.proof import NotProvenError
from collector.audit.looking import looker
from collector.clock import Clock
from collector.errors import RetryableError

AGAIN_SECONDS = 10.0
GONE = "what you showed proves nobody any more: it has ended or was taken back"
CHANGED = "your rights are others than when this answer began: ask again"
UNKNOWN = "who you are cannot be checked now: whoever has to be asked does not answer"


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
