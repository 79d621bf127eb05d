"""Progress of the demo's start: what is done now with a spinner on a terminal, and a line with its time for each step that is done."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console


class Progress:
    """A context manager. `begin` ends the step before; a step that an exception ends is not told as done."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._status = console.status("")
        self._step: tuple[str, float] | None = None

    def __enter__(self) -> Progress:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, what: str) -> None:
        """The next step."""
        self._done()
        self._step = (what, self._now())
        self._status.update(what)

    def end(self) -> None:
        """The last step is done."""
        self._done()
        self._status.stop()

    def _done(self) -> None:
        if self._step is not None:
            what, since = self._step
            self._console.print(f"[dim]{what}: {self._now() - since:.1f} s[/]")
            self._step = None
