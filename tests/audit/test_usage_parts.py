"""What is read of days and hours is, taken together, just the hours that are asked for; and few rows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.audit.usage_queries import Hours, _parts
from collector.store.schema import usage_days
from collector.store.usage_deltas import HOURS

spans = st.tuples(st.integers(0, 24 * 40), st.integers(1, 24 * 40), st.none() | st.integers(0, 80))


def read(within: Hours, unit: str | None = None) -> tuple[Counter[int], int]:
    """How often each hour counts, and how many rows of one key are read."""
    counted, rows = Counter[int](), 0
    for part in _parts(within, unit):
        for low, high in part.ranges:
            assert low < high
            rows += high - low
            length = HOURS if part.table is usage_days else 1
            for hour in range(low * length, high * length):
                counted[hour] += part.sign
    return +counted, rows


@given(spans, st.sampled_from([None, "day", "month", "hour"]))
def test_each_hour_counts_once(span: tuple[int, int, int | None], unit: str | None) -> None:
    first, length, newest = span
    within = Hours(first, first + length, newest)
    counted, _ = read(within, unit)
    assert counted == Counter(range(first, first + length))


@pytest.mark.parametrize(
    ("first", "behind", "newest", "rows"),
    [
        (10 * 24, 40 * 24, 40, 30),
        (10 * 24 + 1, 40 * 24, 40, 31),
        (10 * 24 + 23, 40 * 24, 40, 30),
        (10 * 24 + 12, 40 * 24, 40, 29 + 12),
        (10 * 24 + 10, 40 * 24 + 3, None, 30 + 10 + 3),
        (10 * 24, 40 * 24 + 20, None, 31 + 4),
        (10 * 24, 40 * 24 + 3, 40, 31 + 21),  # of which hardly any is there
        (10 * 24 + 3, 10 * 24 + 9, 10, 6),
        (10 * 24 + 20, 11 * 24 + 2, 11, 4 + 1 + 22),
    ],
)
def test_of_a_day_at_the_end_the_shorter_part_is_read(first: int, behind: int, newest: int | None, rows: int) -> None:
    assert read(Hours(first, behind, newest))[1] == rows
