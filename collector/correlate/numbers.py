"""Numbers as witnesses tell them: what can't be true is unknown, with a problem, and everything kept fits 64 bits."""

from __future__ import annotations

MAX = 2**63 - 1  # databases' integers are signed
DAY_US = 86_400_000_000
CENTURY_US = 36_525 * DAY_US
EPOCH_US = 946_684_800_000_000  # 2000-01-01
LATEST_US = 253_402_300_799_999_999  # the end of year 9999
# Beyond these bounds around its arrival a told start is none: one of the two clocks is wrong, and ours is known.
AHEAD_US, BEHIND_US = DAY_US, 30 * DAY_US

# Problems: constants, so that an exchange can only hold each once.
START_UNKNOWN = "the start that the proxy told is more than 1 day after or 30 days before its first word came, which stands for it"
STATUS_UNKNOWN = "the status that was told has not three digits: it is unknown"
DURATION_UNKNOWN = "a duration that was told is negative or above a century: it is unknown"
SIZE_UNKNOWN = "a size that was told is beyond 63 bits: it is unknown"
SIZE_CUT = "a size that was told is beyond 63 bits: it is cut to that"
OFFSET_REFUSED = "a piece of a body was told beyond 63 bits: it is left out"
TIME_CUT = "a chunk's time was told beyond a century: it is cut to that"


def is_start(told: int, now: int) -> bool:
    """Whether what came by `now` can have begun then. Where our own clock shows a time before 2000 it is the one that is wrong."""
    if now < EPOCH_US:
        return EPOCH_US <= told <= LATEST_US
    return now - BEHIND_US <= told <= now + AHEAD_US and told >= EPOCH_US


def clamped(number: int) -> int:
    """The nearest number of 64 bits with sign."""
    return min(max(number, -MAX - 1), MAX)
