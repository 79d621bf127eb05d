"""The open exchanges under one key: nearly always one or two, a list; more than a few are a Crowd, indexed (twins.py).

What is answered depends on those that are open only: it is the same after a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from collector.correlate.prints import fits, log_print, may_fit, rank
from collector.correlate.state import LogPrint, Open, Pieces
from collector.correlate.twins import SCANNED, Waiting
from collector.messages.exchange import AccessLog


class Crowd:
    """More than a few open exchanges under one key."""

    def __init__(self, opens: list[Open]) -> None:
        self.opens: dict[int, Open] = {}
        self.prints: dict[LogPrint, int] = {}
        self.taps = 0
        self.bare: OrderedDict[int, Open] = OrderedDict()  # have a tap and no entry
        self.waiting = Waiting()
        self._heard: dict[int, LogPrint] = {}
        for open_ in opens:
            self.enter(open_)
        for open_ in sorted((o for o in opens if o.settled), key=lambda o: o.settled):
            self.settle(open_)

    def __len__(self) -> int:
        return len(self.opens)

    def enter(self, open_: Open) -> None:
        serial, log = open_.serial, open_.access_log
        self.opens[serial] = open_
        if log is not None:
            told = self._heard[serial] = log_print(log)
            self.prints[told] = self.prints.get(told, 0) + 1
        if open_.tap is not None:
            self.taps += 1
            if log is None:
                self.bare[serial] = open_
        elif log is not None:
            self.waiting.add_log(serial, log)

    def settle(self, open_: Open) -> None:
        if open_.serial in self.bare and open_.tap is not None:
            self.waiting.add_tap(open_.serial, open_.tap)

    def remove(self, open_: Open) -> None:
        serial = open_.serial
        del self.opens[serial]
        self.bare.pop(serial, None)
        self.waiting.drop(serial)
        self.taps -= open_.tap is not None
        told = self._heard.pop(serial, None)
        if told is not None:
            self.prints[told] -= 1
            if not self.prints[told]:
                del self.prints[told]


def heard(same: list[Open] | Crowd, log: AccessLog) -> bool:
    """Whether one of these has this very entry."""
    if isinstance(same, Crowd):
        return log_print(log) in same.prints
    told: LogPrint | None = None
    for open_ in same:
        if open_.access_log is not None:
            told = told or log_print(log)
            if log_print(open_.access_log) == told:
                return True
    return False


def is_open(same: list[Open] | Crowd, twin: int) -> bool:
    """Whether the one of that number is open."""
    return any(open_.twin == twin for open_ in (same.opens.values() if isinstance(same, Crowd) else same))


def has_tap(same: list[Open] | Crowd) -> bool:
    """Whether one of these has a stream."""
    return same.taps > 0 if isinstance(same, Crowd) else any(o.tap is not None for o in same)


def tap_for(same: list[Open] | Crowd, log: AccessLog) -> Open | None:
    """The one whose tap told all and fits this entry."""
    if isinstance(same, Crowd):
        number = same.waiting.tap_for(log)
        return same.opens[number] if number is not None else None
    for open_ in same:
        tap = open_.tap
        if tap is not None and open_.access_log is None and tap.whole and fits(tap, log):
            return open_
    return None


def log_for(same: list[Open] | Crowd, tap: Pieces) -> Open | None:
    """The one that has only an entry, which fits this stream."""
    if isinstance(same, Crowd):
        number = same.waiting.log_for(tap)
        return same.opens[number] if number is not None else None
    for open_ in same:
        if open_.tap is None and open_.access_log is not None and fits(tap, open_.access_log):
            return open_
    return None


def any_tap_for(same: list[Open] | Crowd, log: AccessLog) -> Open | None:
    """The one without an entry that this one fits best, now that nothing better will come."""
    bare = islice(same.bare.values(), SCANNED) if isinstance(same, Crowd) else same
    found = [(o, o.tap) for o in bare if o.tap is not None and o.access_log is None and may_fit(o.tap, log)]
    return max(found, key=lambda one: rank(one[1], log))[0] if found else None


def any_log_for(same: list[Open] | Crowd, tap: Pieces) -> Open | None:
    """The one without a tap whose entry fits this stream best, now that nothing better will come."""
    if isinstance(same, Crowd):
        waiting = [(same.opens[number], log) for number, log in same.waiting.first_logs()]
    else:
        waiting = [(o, o.access_log) for o in same if o.tap is None and o.access_log is not None]
    found = [one for one in waiting if may_fit(tap, one[1])]
    return max(found, key=lambda one: rank(tap, one[1]))[0] if found else None
