"""What Prometheus is told of the ledger: each window once, when it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from collector.describe import describe_ledger
from collector.errors import RetryableError
from collector.messages.event import Output, Place, Untold
from collector.messages.exchange import LedgerWindow, Node
from collector.metrics import LedgerMetrics, UsageMetrics
from collector.sinks.around import CountedSink
from tests.support.events import exchange


class Store:
    """A sink that fails once."""

    def __init__(self) -> None:
        self.failed = False

    async def high(self, journal: str) -> Place:
        return Place(7, 7)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        if not self.failed:
            self.failed = True
            raise RetryableError("not now")

    async def close(self) -> None:
        pass


def told(registry: CollectorRegistry) -> dict[str, float]:
    """Every sample that is not 0, by name and label."""
    samples = (sample for family in registry.collect() for sample in family.samples if not sample.name.endswith("_created"))
    return {f"{s.name.removeprefix('meshscribe_ledger_')} {' '.join(s.labels.values())}".strip(): s.value for s in samples if s.value}


async def test_windows_are_counted_as_they_were_stored_and_once() -> None:
    registry = CollectorRegistry()
    sink = CountedSink(Store(), LedgerMetrics(registry))
    counts = {"announced": 20, "received": 12, "missing": 5, "without_tap": 2, "access_log_entries": 9, "both": 8}
    window = LedgerWindow(Node("a"), 0, 60, counts, {"queue_full": 3}, {}, {"journal_full": 4}, {"batch": 1}, {"missing": {0: 2, 60: 1}})
    away = LedgerWindow(Node("collector"), 0, 2_500_000, {}, {}, {}, away_us=(0, 2_500_000), away_reason="hung")
    outputs = [exchange(Place(1, 0)), describe_ledger(window, Place(1, 1)), describe_ledger(away, Place(2, 0))]
    with pytest.raises(RetryableError):
        await sink.write("j", outputs, Place(2, 0))
    assert told(registry) == {}
    await sink.write("j", outputs, Place(2, 0))
    assert told(registry) == {
        "announced_total": 20,
        "received_total": 12,
        "missing_total": 5,
        "without_tap_total": 2,
        "access_log_entries_total": 9,
        "dropped_total queue_full": 3,
        "refused_total journal_full": 4,
        "malformed_total batch": 1,
        "cured_total missing": 3,
        "away_seconds_total hung": 2.5,
    }
    assert await sink.high("j") == Place(7, 7)
    await sink.close()


@pytest.mark.slow
async def test_senders_cannot_make_labels_without_end() -> None:
    registry = CollectorRegistry()
    sink = CountedSink(Store(), LedgerMetrics(registry))
    windows = [LedgerWindow(Node("a"), n, 60, {}, {f"reason_{n}": 1}, {}) for n in range(200)]
    outputs = [describe_ledger(window, Place(n, 0)) for n, window in enumerate(windows)]
    with pytest.raises(RetryableError):
        await sink.write("j", [], Place(0, 0))
    await sink.write("j", outputs, Place(200, 0))
    found = told(registry)
    assert len(found) == LedgerMetrics.REASONS + 1
    assert found["dropped_total other"] == 200 - LedgerMetrics.REASONS


async def test_calls_without_usage_are_counted_by_service_and_reason_and_services_are_bounded() -> None:
    registry = CollectorRegistry()
    sink = CountedSink(Store(), LedgerMetrics(registry))
    calls = [exchange(Place(n, 0))._replace(untold=Untold(f"prod/s{n % 300}", "not_asked")) for n in range(600)]
    with pytest.raises(RetryableError):
        await sink.write("j", calls, Place(600, 0))
    assert told(registry) == {}
    await sink.write("j", [*calls, exchange(Place(601, 0))._replace(untold=Untold("prod/s0", "not_told"))], Place(601, 0))
    found = told(registry)
    assert found["meshscribe_calls_without_usage_total prod/s0 not_asked"] == 2
    assert found["meshscribe_calls_without_usage_total prod/s0 not_told"] == 1
    assert found["meshscribe_calls_without_usage_total other not_asked"] == 2 * (300 - LedgerMetrics.SERVICES)
    assert len(found) == LedgerMetrics.SERVICES + 2


async def test_mirrored_calls_are_counted_by_service_and_services_are_bounded() -> None:
    registry = CollectorRegistry()
    sink = CountedSink(Store(), LedgerMetrics(registry))
    calls = [exchange(Place(n, 0))._replace(mirrored=f"prod/s{n % 300}") for n in range(600)]
    with pytest.raises(RetryableError):
        await sink.write("j", calls, Place(600, 0))
    assert told(registry) == {}
    await sink.write("j", calls, Place(600, 0))
    found = told(registry)
    assert found["meshscribe_mirrored_calls_total prod/s0"] == 2
    assert found["meshscribe_mirrored_calls_total other"] == 2 * (300 - LedgerMetrics.SERVICES)
    assert len(found) == LedgerMetrics.SERVICES + 1


async def test_calls_and_tokens_are_counted_by_service_model_and_class_within_a_budget() -> None:
    registry = CollectorRegistry()
    sink = CountedSink(Store(), LedgerMetrics(registry), UsageMetrics(registry, 2))
    told_usage = {"billable": 1, "usage": '{"input_uncached":3,"output":5}'}
    outputs = [
        exchange(Place(1, 0), **told_usage),
        exchange(Place(2, 0), **told_usage),
        exchange(Place(3, 0), revision=1, **told_usage),
        exchange(Place(4, 0), billable=0, usage=told_usage["usage"]),
        exchange(Place(5, 0), billable=1, usage='{"absent_not_told":1}', model="\ud800", service=None),
        exchange(Place(6, 0), **told_usage, model="made-up-1"),
        exchange(Place(7, 0), **told_usage, model="made-up-2"),
    ]
    with pytest.raises(RetryableError):
        await sink.write("j", outputs, Place(7, 0))
    await sink.write("j", outputs, Place(7, 0))
    found = {name.removeprefix("meshscribe_usage_"): value for name, value in told(registry).items() if "usage" in name}
    assert found == {
        "calls_total prod/llama llama-3": 2,
        "tokens_total prod/llama llama-3 input_uncached": 6,
        "tokens_total prod/llama llama-3 output": 10,
        "calls_total unknown ?": 1,
        "calls_total other other": 2,
        "tokens_total other other input_uncached": 6,
        "tokens_total other other output": 10,
    }
