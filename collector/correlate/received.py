"""Which time it is by the entries' stamps: a pure function of them. The clock of everything behind the journal.

One writer stamps in order, and its stamps are the time. Where several append to one partition their clocks differ, and one of them may be
a day ahead. Time is then the furthest stamp that can be believed, and wherever it is ahead of the others' clocks it goes on at half of
the pace at which they say that time passes: it never stands still because of a clock that was ahead, and never goes back.

A stamp that is LEAP_US ahead of the time is believed when the same writer was on time before and so much has passed for it, when another
writer tells the same, or when nobody contradicted it for HOLD_US; a writer whose stamps are behind it contradicts. So one clock that
is ahead beside others that are not moves nothing.
"""

from __future__ import annotations

from collections import OrderedDict

from collector.correlate.state import Heard, Leap
from collector.messages.entry import Entry

LEAP_US = 60_000_000
HOLD_US = 5_000_000
WRITERS_KEPT = 256


class Received:
    """The time, and when each writer was heard last."""

    def __init__(self) -> None:
        self.now = 0
        self._writers: OrderedDict[int, Heard] = OrderedDict()
        self._leap: Leap | None = None

    def at(self, entry: Entry) -> int:
        """The time at which this entry, the next one, was received."""
        if not entry.writer:
            self.now = max(self.now, entry.received_at)
            return self.now
        told = Heard(entry.writer, entry.received_at, entry.elapsed_us, self.now)
        before = self._writers.get(told.writer)
        if before is not None:
            told.now = max(told.now, before.now + max(0, told.elapsed - before.elapsed) // 2)
        if self._is_believed(told, before):
            told.now = max(told.now, told.stamp)
        self.now = told.now
        self._writers[told.writer] = told
        self._writers.move_to_end(told.writer)
        if len(self._writers) > WRITERS_KEPT:
            self._writers.popitem(last=False)
        return self.now

    def snapshot(self) -> tuple[list[Heard], Leap | None]:
        """All but the time."""
        return list(self._writers.values()), self._leap

    def restore(self, now: int, writers: list[Heard], leap: Leap | None) -> None:
        """Goes on from a checkpoint's content."""
        self.now, self._leap = now, leap
        self._writers = OrderedDict((heard.writer, heard) for heard in writers)

    def _is_believed(self, told: Heard, before: Heard | None) -> bool:
        leap = self._leap
        if not self.now:
            return True
        if told.stamp <= told.now + LEAP_US:
            if leap is not None and told.writer != leap.writer and told.stamp < leap.stamp - LEAP_US:
                self._leap = None
            return True
        if before is not None and _was_on_time(before) and told.stamp - before.stamp <= told.elapsed - before.elapsed + LEAP_US:
            return True
        if leap is None or abs(told.stamp - leap.stamp - (told.elapsed - leap.elapsed if told.writer == leap.writer else 0)) > LEAP_US:
            self._leap = Leap(told.writer, told.stamp, told.elapsed)
            return False
        return told.writer != leap.writer or told.elapsed - leap.elapsed >= HOLD_US


def _was_on_time(heard: Heard) -> bool:
    return abs(heard.stamp - heard.now) <= LEAP_US
