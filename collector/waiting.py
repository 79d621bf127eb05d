"""How long an answer is waited for. What hangs says nothing of itself, and raises nothing: only who waits can tell."""

from __future__ import annotations

import time

SILENT_SECONDS = 4.0  # without an answer something counts as hung: so it is told within five


class Waiting:
    """One wait at a time, by the monotonic clock."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        """From now on an answer is waited for."""
        self._since = time.monotonic()

    def end(self) -> None:
        """It came, whatever it said."""
        self._since = None

    @property
    def seconds(self) -> float:
        """How long it has been waited for; 0 if it is not."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def silence(self) -> str | None:
        """`has not answered for N s`, once that is too long."""
        seconds = self.seconds
        return f"has not answered for {seconds:.0f} s" if seconds > SILENT_SECONDS else None
