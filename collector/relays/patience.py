"""When a request that has no answer yet is sent once more. Pure: it is told how long answers took, and says how long to wait.

What answers usually take is kept as TCP keeps it for its segments (RFC 6298): a smoothed time and its mean deviation. An answer is of the
request that was on its connection, so each is a sample, late ones too: a target that became slow is known to be slow by its first answer.
Answers pay for repeats: a target that answers nothing is soon asked with full patience only.
"""

from __future__ import annotations

import math

FIRST_SECONDS = 1.0  # before anything was answered
FLOOR_SECONDS = 0.01  # threads of a busy machine wait as long for each other
# RFC 6298's alpha, beta and K, where they are 1/8, 1/4 and 4: a little less patient, since what waits is not given up for its repeat.
# SMOOTHING + WIDTH * DEVIATION > 1: after one late answer the next one is waited for as long.
SMOOTHING, DEVIATION, WIDTH = 1 / 8, 1 / 3, 3
BEGUN, EARNED, SAVED = 2.0, 0.5, 8.0  # repeats: that may be made at first, that one answer allows, that may be saved up
COPIES = 4  # of one request, under way at a time


class Patience:
    """Of one target."""

    def __init__(self) -> None:
        self._usual, self._spread = FIRST_SECONDS, 0.0
        self._knows = False
        self._may_repeat = BEGUN

    def answered(self, seconds: float) -> None:
        """A request was answered, so long after it was begun."""
        if self._knows:
            self._spread += DEVIATION * (abs(seconds - self._usual) - self._spread)
            self._usual += SMOOTHING * (seconds - self._usual)
        else:
            self._usual, self._spread, self._knows = seconds, seconds / 2, True
        self._may_repeat = min(SAVED, self._may_repeat + EARNED)

    def repeated(self) -> None:
        """A request was sent once more."""
        self._may_repeat -= 1

    def seconds(self, copies: int) -> float:
        """How long to wait for the newest of so many copies of a request before there is one more, double each time; or for ever."""
        if self._may_repeat < 1 or copies >= COPIES:
            return math.inf
        return float(max(FLOOR_SECONDS, self._usual + WIDTH * self._spread) * 2 ** (copies - 1))
