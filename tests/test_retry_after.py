"""Retry-After, whoever wrote it: the server, or a proxy in between."""

from __future__ import annotations

import pytest

from collector.retry import retry_after

NOW_US = 1_763_800_000_123_456  # 2025-11-22T08:26:40


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("12", 12.0),
        ("Sat, 22 Nov 2025 08:27:40 GMT", 59.876544),
        ("Sat, 22 Nov 2025 08:27:40 -0000", 59.876544),  # a date that tells no zone means UTC (RFC 5322 §3.3)
        ("Sat, 22 Nov 2020 08:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("Sat, 99 Nov 2025 08:27:40 GMT", None),
    ],
)
def test_it_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW_US) == (pytest.approx(seconds) if seconds is not None else None)
