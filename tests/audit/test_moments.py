"""Times and ids: the range of ids of a span holds every event of that span."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.audit.moments import LAST_US, Moment, first_id, parse, past_id, rfc3339
from tests.audit.rows import NOW, name

TIMES = st.integers(0, LAST_US)


@given(TIMES, TIMES, st.text(max_size=3))
def test_no_event_of_a_span_is_outside_its_range_of_ids(time_us: int, bound: int, salt: str) -> None:
    identity = name(time_us, salt)
    if time_us >= bound:
        assert identity >= first_id(bound)
    if time_us < bound:
        assert identity < past_id(bound)


@given(TIMES, st.text(max_size=3))
def test_an_event_of_another_millisecond_is_outside(time_us: int, salt: str) -> None:
    identity = name(time_us, salt)
    assert identity < first_id(time_us + 1000)
    assert identity >= past_id(time_us // 1000 * 1000)


@given(TIMES)
def test_a_printed_time_is_read_back_exactly(time_us: int) -> None:
    assert parse(rfc3339(time_us)) == Moment(time_us)


@pytest.mark.parametrize(("text", "us"), [("90s", 90_000_000), ("15m", 900_000_000), ("2h", 7_200_000_000), ("1w", 604_800_000_000)])
def test_a_relative_time_is_before_now(text: str, us: int) -> None:
    assert parse(text).at(NOW) == NOW - us


def test_a_time_before_the_epoch_is_the_epoch() -> None:
    assert parse("999999999w").at(NOW) == 0
    assert parse("0001-01-01T00:00:00+23:59").at(NOW) == 0
