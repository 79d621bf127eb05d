"""When an exchange was recorded is remembered for what one entry closed: the same text as without, in bounded memory."""

from __future__ import annotations

from collector.describe.payloads import _recorded
from collector.messages.times import timestamp


def test_what_is_remembered_is_what_would_be_made_and_has_a_bound() -> None:
    times = [1_780_000_000_000_000 + 7 * number for number in range(500)]
    for time_us in times + times[::-1]:
        assert _recorded(time_us) == timestamp(time_us)
    assert 0 < _recorded.cache_info().currsize <= 64
