"""What a trail gives back is what was put there: nothing early, nothing twice, and in bounded memory."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collector.receive.trail import Trail
from tests.support.effort import examples

STEPS = st.lists(st.one_of(st.tuples(st.integers(0, 30), st.integers(0, 5)), st.integers(0, 60)), max_size=200)


@given(STEPS, st.integers(31, 60))
@hypothesis_settings(max_examples=examples(200))
def test_amounts_come_back_once_and_not_before_their_time(steps: list[tuple[int, int] | int], max_items: int) -> None:
    trail, there, back, position, reached = Trail(max_items), list[tuple[int, str, int]](), Counter[str](), 0, 0
    for step in steps:
        if isinstance(step, tuple):
            position += 1
            trail.add(position, f"s{step[0]}", step[1])
            there.append((position, f"s{step[0]}", step[1]))
        else:
            reached = max(reached, min(step, position))
            for key, amount in trail.forget(reached):
                back[key] += amount
        due = Counter[str]()
        for at, key, amount in there:
            due[key] += amount if at <= reached else 0
        assert all(back[key] <= due[key] for key in back)
        assert len(trail) <= max_items
    for key, amount in trail.take_all():
        back[key] += amount
    total = Counter[str]()
    for _, key, amount in there:
        total[key] += amount
    assert back == total
    assert len(trail) == 0


def test_a_short_trail_is_exact() -> None:
    trail = Trail()
    for position, key in enumerate("abcab", 1):
        trail.add(position, key, position)
    assert [dict(trail.forget(up_to)) for up_to in (0, 1, 3, 5)] == [{}, {"a": 1}, {"b": 2} | {"c": 3}, {"a": 4} | {"b": 5}]


def test_a_long_trail_is_bounded_and_exact_again_when_it_is_short() -> None:
    trail = Trail(1000)
    for position in range(1, 100_001):
        trail.add(position, f"s{position % 7}", 1)
    assert 7 <= len(trail) <= 1000
    assert sum(amount for _, amount in trail.forget(99_999)) <= 99_999
    assert sum(amount for _, amount in trail.take_all()) >= 1
    trail.add(100_001, "a", 1)
    trail.add(100_002, "a", 1)
    assert list(trail.forget(100_001)) == [("a", 1)]
