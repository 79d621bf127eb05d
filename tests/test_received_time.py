"""Received time under any clock: it never goes back, never stands still, and is never later than the clock would be, never set back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.clock import HOLD_US, TOLERANCE_US, ReceivedTime
from tests.support.clocks import TurnedClock

SECOND, DAY = 1_000_000, 86_400_000_000
SPANS = st.integers(0, 3 * HOLD_US) | st.integers(0, 1000)
STEPS = st.integers(-2 * DAY, 2 * DAY) | st.sampled_from([-DAY, -SECOND, SECOND, DAY])
HISTORY = st.lists(st.tuples(st.just("pass"), SPANS) | st.tuples(st.just("step"), STEPS) | st.just(("restart", 0)), max_size=40)


@given(HISTORY)
def test_any_history_of_a_clock(history: list[tuple[str, int]]) -> None:
    clock = TurnedClock()
    received, ahead = ReceivedTime(clock), clock.now - clock.passed  # by which a clock that never was set back would be ahead
    before, stood_from = received.stamp(), clock.passed
    for what, by in history:
        match what:
            case "pass":
                clock.now += by
            case "step":
                clock.step(by)
            case _:
                received, stood_from = ReceivedTime(clock, before), clock.passed
        ahead = max(ahead, clock.now - clock.passed)
        now = received.stamp()
        assert now >= before
        assert now >= before + (clock.passed - stood_from) // 2 - TOLERANCE_US  # half of what passed, at least
        assert now <= ahead + clock.passed
        before, stood_from = now, clock.passed


@given(st.lists(st.integers(0, 999), min_size=200, max_size=200))
def test_half_pace_is_kept_however_often_it_is_asked(spans: list[int]) -> None:
    clock = TurnedClock()
    received = ReceivedTime(clock)
    start = received.stamp()
    clock.step(-DAY)
    for span in spans:
        clock.now += span
        received.stamp()
    assert received.last_us == start + sum(spans) // 2
    assert received.ahead_us == start + sum(spans) // 2 - clock.now


def test_a_clock_that_was_a_day_ahead_and_was_set_right_is_caught_up_with() -> None:
    clock = TurnedClock()
    received = ReceivedTime(clock)
    right = received.stamp()
    clock.step(DAY)
    assert received.stamp() == right  # another minute will tell
    clock.now += HOLD_US
    assert received.stamp() == clock.now
    clock.step(-DAY)
    for _ in range(48):
        clock.now += DAY // 24
        received.stamp()
    assert received.stamp() == clock.now == right + HOLD_US + 2 * DAY


def test_a_moment_in_another_year_moves_nothing() -> None:
    clock = TurnedClock()
    received = ReceivedTime(clock)
    start = received.stamp()
    clock.step(365 * DAY)
    clock.now += HOLD_US - 1
    assert received.stamp() == start + HOLD_US - 1
    clock.step(-365 * DAY)
    clock.now += HOLD_US
    assert received.stamp() == clock.now
