"""Gives an exchange its other witness: an open one under the same key, or one that was closed without a tap.

What fits surely is taken as soon as a stream has told all of it (`tap_told`); what may fit, when the time of one of the two is over
(`at_end`). Of two open exchanges that become one, the one with the tap stays.
"""

from __future__ import annotations

from collector.correlate import crowd
from collector.correlate.ledger import Ledger
from collector.correlate.memory import Memory
from collector.correlate.openings import Openings
from collector.correlate.state import Open, Pieces
from collector.messages.ledger import LATE


class Pairing:
    """Joins what `openings` and `memory` hold, and counts what came late in `ledger`."""

    def __init__(self, openings: Openings, memory: Memory, ledger: Ledger) -> None:
        self._openings, self._memory, self._ledger = openings, memory, ledger

    def tap_told(self, open_: Open, tap: Pieces) -> None:
        """The tap of this one told all of it, and it has no access log entry: gives it the one that fits, if that is here."""
        same = self._openings.of(open_.key)
        other = crowd.log_for(same, tap) if len(same) > 1 else None
        if other is not None:
            self._join(open_, other)
        elif not open_.revision:
            self._join_late(open_, tap)

    def at_end(self, open_: Open) -> Open:
        """Its time is over: pairs it with whatever waits under its key and may fit. Returns the one that is to be closed."""
        same = self._openings.of(open_.key)
        if open_.tap is not None and open_.access_log is None:
            other = crowd.any_log_for(same, open_.tap)
            if other is not None:
                self._join(open_, other)
            elif not open_.revision:
                self._join_late(open_, open_.tap)
        elif open_.tap is None and open_.access_log is not None:
            other = crowd.any_tap_for(same, open_.access_log)
            if other is not None:
                self._join(other, open_)
                return other
        return open_

    def _join(self, open_: Open, other: Open) -> None:
        """Gives this exchange the access log entry of another one, which is no more."""
        open_.access_log = other.access_log
        open_.problems += other.problems
        self._openings.remove(other)

    def _join_late(self, open_: Open, tap: Pieces) -> None:
        """Takes the place of a closed exchange that was without a tap, as its revision."""
        late = self._memory.log_for(open_.key, tap)
        if late is None or late.kept is None:
            return
        self._ledger.add(open_.proxy, LATE)
        kept = late.kept
        open_.access_log, open_.problems = kept.access_log, open_.problems + kept.problems
        open_.twin, open_.revision, open_.start_us, open_.gap = late.twin, late.revision + 1, late.start_us, late.gap
        self._memory.take(late)
