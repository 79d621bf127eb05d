"""What changed from version to version, in words; and times that no browser calls 24 o'clock."""

from __future__ import annotations

from collector.page.render import asset
from collector.views.services import versions


def test_a_service_that_was_made_again_is_not_told_to_be_deleted() -> None:
    told = versions([{"kind": "X"}, {"deleted": True}, {"kind": "X"}])
    assert [version.changes for version in told] == [["kind: X"], ["the service was deleted"], ["kind: X"]]


def test_no_time_is_formatted_by_the_cycle_that_calls_midnight_24() -> None:
    assert "hour12" not in str(asset("page.js"))
