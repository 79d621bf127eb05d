"""The chart of usage says how sure each column is."""

from __future__ import annotations

from collector.views.usage_chart import chart, classes_of


def test_where_losses_are_not_known_no_column_is_called_well() -> None:
    tokens = {"output": 5}
    found = {"since": "2026-01-01T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
    months = {"items": [{"group": {"month": "2026-05"}, "tokens": tokens, "calls": 3, "coverage": {"without_usage": 0}}]}
    (sure,) = chart(months, found, None, classes_of(tokens)).sure
    assert (sure.kind, sure.title) == ("none", "whether records were lost is not known here")
