"""Where a process is between its start and its end, for readiness and for what has to end in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from collector.health import Component, Health

DRAIN_SECONDS = 10.0  # from the signal on: what is not stored by then the journal keeps
HARD_SECONDS = 15.0  # from the signal on: then the process ends whatever hangs


class Phase:
    """Begins as starting. `listening` is set while proxies may send, `end` is called at the signal."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ending_since: float | None = None
        self.listening = False

    def end(self) -> None:
        """From now on the process is stopping."""
        if self._ending_since is None:
            self._ending_since = self._monotonic()

    @property
    def stopping(self) -> bool:
        return self._ending_since is not None

    def drain_seconds(self) -> float:
        """What is left of the time for draining. A part of it always is: what is ready to be stored is stored."""
        passed = 0.0 if self._ending_since is None else self._monotonic() - self._ending_since
        return max(1.0, DRAIN_SECONDS - passed)

    def ingest(self, detail: str = "") -> Component:
        """Whether the ingest listeners are there. A sink that is away is no reason not to send: the journal keeps what comes."""
        return Component("ingest", self.listening, detail if self.listening else "not listening")


class PhasedHealth:
    """A Health that is not ready while the process is stopping, and says so first."""

    def __init__(self, inner: Health, phase: Phase) -> None:
        self._inner, self._phase = inner, phase

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        found = self._inner.components()
        return [Component("process", False, "stopping"), *found] if self._phase.stopping else found
