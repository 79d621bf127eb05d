"""The list of metrics: sound in itself, the only maker of metrics, and what docs/metrics.md shows."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from collector.metrics.listed import ALL
from collector.metrics.metric import Listed, ListedCounter
from tests.support.metrics_page import PAGE, page

COLLECTOR = Path(__file__).parents[2] / "collector"
MAKES = re.compile(r"import .*(Counter|Gauge|Histogram|Summary|MetricFamily)\b")
NAMES = re.compile(r"[\"']meshscribe_\w+_(total|bytes|seconds)[\"']")
TYPES_ONLY = COLLECTOR / "metrics/groups.py"  # names Counter as a type


@pytest.mark.parametrize("listed", ALL, ids=lambda listed: listed.name)
def test_it_is_told_whole(listed: Listed) -> None:
    assert listed.name.startswith("meshscribe_")
    assert listed.name.endswith("_total") == isinstance(listed, ListedCounter)
    assert listed.unit
    assert listed.means
    assert listed.act.endswith((".", ")"))
    assert listed.roles
    assert all(listed.labels.values()), "a label whose values nobody knows"


def test_no_role_exposes_a_name_twice() -> None:
    assert [one for one, times in Counter((listed.name, role) for listed in ALL for role in listed.roles).items() if times > 1] == []


def test_nothing_else_makes_metrics() -> None:
    elsewhere = [path for path in COLLECTOR.rglob("*.py") if not path.is_relative_to(COLLECTOR / "metrics")]
    makers = [
        f"{path.relative_to(COLLECTOR)}: {line}"
        for path in elsewhere
        for line in path.read_text().splitlines()
        if ("prometheus" in line and MAKES.search(line)) or NAMES.search(line)
    ]
    assert makers == []
    assert not re.search(r"\b(Counter|Gauge|Histogram|Summary)\(|MetricFamily\(|meshscribe_", TYPES_ONLY.read_text())


def test_the_page_shows_the_list() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.support.metrics_page"
