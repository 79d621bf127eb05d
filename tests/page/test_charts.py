"""Shapes of charts: inside of their frame, in proportion, and bounded whatever comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from collector.page.charts import MOST_TICKS, STRIP_WIDTH, WIDTH, Stack, scale, spread, stacks, strip

VALUES = some.lists(some.floats(0, 1e12), min_size=1, max_size=60)


def test_columns_stand_side_by_side_and_parts_upon_each_other() -> None:
    bars = stacks([Stack((("a", 3.0), ("b", 1.0)), "first"), Stack((("a", 2.0),), "second")], 100.0)
    assert [(bar.x, bar.y, bar.height, bar.kind, bar.title) for bar in bars] == [
        (0.0, 25.0, 75.0, "a", "first"),
        (0.0, 0.0, 25.0, "b", "first"),
        (WIDTH / 2, 50.0, 50.0, "a", "second"),
    ]


def test_what_is_little_is_seen_and_what_is_nothing_is_not() -> None:
    bars = stacks([Stack((("a", 1e9),), ""), Stack((("a", 1.0), ("b", 0.0)), "")], 100.0)
    assert [bar.height for bar in bars] == [100.0, 1.0]
    assert stacks([], 100.0) == []


@given(VALUES)
def test_no_bar_leaves_its_frame(values: list[float]) -> None:
    for bar in stacks([Stack((("a", value),), "") for value in values], 70.0):
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH + 0.02
        assert -0.02 <= bar.y <= 70.0


@given(some.floats(1e-3, 1e15))
def test_a_scale_is_round_few_and_reaches_the_highest(highest: float) -> None:
    rules = scale(highest)
    assert 1 <= len(rules) <= 6
    assert rules == sorted(rules)
    assert rules[-1] >= highest * 0.999


def test_there_is_no_scale_of_nothing() -> None:
    assert scale(0) == scale(-1) == []


def test_a_strip_has_the_wait_the_ticks_and_the_stalls_where_they_were() -> None:
    found = strip([100.0, 500.0, 1000.0], 1000.0, [(500.0, 500.0)])
    assert found is not None
    assert found.first_x == STRIP_WIDTH * 0.1
    assert found.path == "M64 10v20M320 10v20M640 10v20"
    assert [(one.x, one.width, one.ms) for one in found.stalls] == [(320.0, 320.0, 500.0)]


@given(some.lists(some.floats(0, 1e7), min_size=1, max_size=5000).map(sorted), some.floats(0, 1e7))
def test_many_events_make_no_longer_a_path_than_there_are_pixels(times: list[float], total: float) -> None:
    found = strip(times, total, [])
    assert found is None or found.path.count("M") <= MOST_TICKS + 1


def test_nothing_is_drawn_of_nothing() -> None:
    assert strip([], 0.0, []) is None
    assert strip([0.0], 0.0, []) is None


@given(some.lists(some.tuples(some.just("c1"), some.floats(0, 1e9)), max_size=8))
def test_a_spread_fills_its_meter_and_no_more(values: list[tuple[str, float]]) -> None:
    found = spread(values)
    assert sum(wide for _, _, wide in found) <= 100.1
    assert len(found) <= sum(value > 0 for _, value in values)
