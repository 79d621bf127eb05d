"""Texts of one count alone are added up unread: to the same sums as if they were read."""

from __future__ import annotations

import orjson
import pytest
from prometheus_client import CollectorRegistry

from collector.messages.columns import ExchangeColumns
from collector.messages.usage_counts import ALONE, OF_A_CALL, SUMS, TOKENS
from collector.metrics.usage import UsageMetrics
from collector.store.usage_deltas import Deltas, counts_in


def test_each_count_has_one_text() -> None:
    assert sorted(ALONE.values()) == sorted(OF_A_CALL)
    assert all(orjson.loads(text) == {name: 1} for text, name in ALONE.items())


@pytest.mark.parametrize("text", sorted(ALONE))
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_are_those_of_the_text_when_it_is_read(text: str, sign: int) -> None:
    deltas = Deltas()
    deltas.count(7_200_000_000, 5, 0, text, sign)
    read = {"calls": 1} | dict(counts_in(text))
    assert deltas.hours == {(2, 5): [sign * read.get(name, 0) for name in SUMS]}


@pytest.mark.parametrize("text", sorted(ALONE))
def test_counters_are_those_of_the_text_when_it_is_read(text: str) -> None:
    registry = CollectorRegistry()
    columns = ExchangeColumns("e", 0, 1, "ns", "iris", "n", None, None, None, 200, None, "m", 0, 1, 1, billable=1, usage=text)
    UsageMetrics(registry, 10).count([columns, columns])
    read = orjson.loads(text)
    for name in TOKENS:
        labels = {"service": "ns/iris", "model": "m", "class": name}
        assert (registry.get_sample_value("meshscribe_usage_tokens_total", labels) or 0) == 2 * read.get(name, 0)
