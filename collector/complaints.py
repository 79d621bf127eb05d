"""Says in the log what keeps happening, without filling it: one kind of failure once a minute at most, with how often it was met."""

from __future__ import annotations

import logging
from collections import OrderedDict

from collector.clock import Clock

EVERY_US = 60_000_000
KINDS = 200  # remembered; the one met longest ago is forgotten


class Complaints:
    """One line for each kind and minute."""

    def __init__(self, log: logging.Logger, clock: Clock, every_us: int = EVERY_US) -> None:
        self._log, self._clock, self._every_us = log, clock, every_us
        self._silent: OrderedDict[str, tuple[int, int]] = OrderedDict()  # kind → (said at, times since)

    def tell(self, kind: str, sentence: str, level: int = logging.ERROR) -> bool:
        """The sentence is that of the first and of each that ends a silence. Returns whether it was said."""
        now = self._clock.monotonic_us()
        said_at, times = self._silent.pop(kind, (now - self._every_us, 0))
        if now - said_at < self._every_us:
            self._silent[kind] = (said_at, times + 1)
            return False
        self._log.log(level, "%s%s", sentence, f" ({times} more of this kind since the last line)" if times else "")
        self._silent[kind] = (now, 0)
        if len(self._silent) > KINDS:
            self._silent.popitem(last=False)
        return True


class Outage:
    """What fails now and then works again: why is said once a minute at most, and that it works again only where it was said to fail."""

    def __init__(self, name: str, log: logging.Logger, clock: Clock) -> None:
        self._name, self._log = name, log
        self._complaints = Complaints(log, clock)
        self._said = False

    def fails(self, kind: str, sentence: str, level: int = logging.WARNING) -> None:
        """`kind`: failures of one kind share a line a minute."""
        self._said |= self._complaints.tell(kind, sentence, level)

    def works(self) -> None:
        """To be called whenever it does."""
        if self._said:
            self._log.warning("%s again", self._name)
            self._said = False
