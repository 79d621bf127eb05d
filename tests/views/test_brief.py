"""A line of the list, also of a record of which hardly anything is known."""

from __future__ import annotations

import pytest

from collector.views.brief import filled, row


@pytest.mark.parametrize("found", [{}, {"id": "a", "damaged": True, "why": "its checksum is wrong", "completeness": []}, {"request": {}}])
def test_a_record_of_which_parts_are_missing_has_a_line(found: dict[str, object]) -> None:
    made = row(filled(found, "a"), {})
    assert made.id == "a"
    assert (made.record == "damaged") == ("damaged" in found)
