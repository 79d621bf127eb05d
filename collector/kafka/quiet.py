"""Keeps aiokafka's log readable in an outage: a line that repeats is told once a minute, with the count of those left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_SECONDS = 60.0


class Repeats(logging.Filter):
    """Lets a message (by its template and place in the code) through once in `EVERY_SECONDS`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.pathname, record.lineno), self._now()
        last, left_out = self._told.get(key, (None, 0))
        if last is not None and now - last < EVERY_SECONDS:
            self._told[key] = (last, left_out + 1)
            return False
        self._told[key] = (now, 0)
        if last is not None and left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more such lines in the last {now - last:.0f} s)", ()
        return True


def quieten() -> None:
    """Filters what aiokafka's loggers say, once however often it is called."""
    import aiokafka.admin  # the loggers must be there

    assert aiokafka.admin
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if not isinstance(logger, logging.Logger) or name.partition(".")[0] != "aiokafka":
            continue
        if not any(isinstance(known, Repeats) for known in logger.filters):
            logger.addFilter(Repeats())
