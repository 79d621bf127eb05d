"""How often the collector was away within a span: right whatever the spans are, and without looking at each of them for each item."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.audit.ledger_items import Absences

TIMES = st.integers(0, 30)
SPANS = st.lists(st.tuples(TIMES, TIMES).map(lambda span: (min(span), max(span))), max_size=20)


@given(SPANS, TIMES, st.integers(1, 30))
def test_spans_that_touch_are_counted(spans: list[tuple[int, int]], first: int, length: int) -> None:
    last = first + length
    expected = sum(1 for start, end in spans if start < last and end >= first)
    assert Absences(len(spans), spans, []).within(first, last) == expected


class Compared(int):
    """A time that counts how often it is compared."""

    times = 0

    def __lt__(self, other: Any) -> bool:
        Compared.times += 1
        return int(self) < int(other)

    def __ge__(self, other: Any) -> bool:
        Compared.times += 1
        return int(self) >= int(other)


@pytest.mark.slow
def test_an_item_does_not_look_at_each_absence() -> None:
    away = Absences(10_000, [(Compared(10 * n), Compared(10 * n + 5)) for n in range(10_000)], [])
    Compared.times = 0
    assert sum(away.within(100 * n, 100 * n + 100) for n in range(1000)) == 10 * 1000
    assert Compared.times < 1000 * 40
