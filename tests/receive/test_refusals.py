"""Counts of what was dropped: summed until the journal takes them, each told once."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from prometheus_client import CollectorRegistry

from collector.errors import JournalFullError
from collector.messages.entry import Kind
from collector.metrics import AccessLogMetrics
from collector.receive.access_log import AccessLogReceiver
from collector.receive.refusals import Count, Refusals
from collector.settings import Ingest
from tests.receive.conftest import log_message


class ClosedGate:
    """A journal that is full until it is opened."""

    def __init__(self) -> None:
        self.open = False
        self.tried = asyncio.Event()
        self.told: list[tuple[str, dict[str, Any]]] = []

    async def append(self, kind: Kind, source: str, payload: bytes, message: Any = None, *, sender: str = "") -> int:
        await asyncio.sleep(0)
        self.tried.set()
        if not self.open:
            raise JournalFullError("full")
        assert kind == Kind.REFUSED
        self.told.append((source, json.loads(payload)))
        return len(self.told)


async def test_counts_are_summed_per_proxy_and_reason_until_they_can_be_told() -> None:
    gate = ClosedGate()
    counted = Refusals(gate, retry_seconds=0)
    counted.add("a", "journal_full", Count(1, 10, 100))
    await gate.tried.wait()
    counted.add("a", "journal_full", Count(1, 20, 200))
    counted.add("a", "malformed", Count(1, 0, 5))
    counted.add("b", "journal_full", Count(1, 1, 1))
    gate.open = True
    await counted.close()
    assert sorted(gate.told, key=str) == [
        ("a", {"reason": "journal_full", "messages": 2, "entries": 30, "bytes": 300}),
        ("a", {"reason": "malformed", "messages": 1, "entries": 0, "bytes": 5}),
        ("b", {"reason": "journal_full", "messages": 1, "entries": 1, "bytes": 1}),
    ]


async def test_what_was_told_is_not_told_again() -> None:
    gate = ClosedGate()
    gate.open = True
    counted = Refusals(gate, retry_seconds=0)
    for _ in range(2):
        counted.add("a", "journal_full", Count(1, 1, 1))
        while not gate.told:
            await asyncio.sleep(0)
        gate.told.clear()
    await counted.close()
    assert gate.told == []


async def test_what_cannot_be_told_at_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    counted = Refusals(ClosedGate(), retry_seconds=0)
    counted.add("a", "journal_full", Count(3, 10, 100))
    await counted.close()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "Count(messages=3, entries=10, bytes=100, batches=0)" in caplog.text


async def test_more_proxies_than_can_be_counted_apart_are_counted_together() -> None:
    gate = ClosedGate()
    counted = Refusals(gate, retry_seconds=0, max_counted=2)
    for source in ("a", "b", "c", "d", "a"):
        counted.add(source, "journal_full", Count(1, 1, 1))
    gate.open = True
    await counted.close()
    assert {source: told["messages"] for source, told in gate.told} == {"a": 2, "b": 1, "": 2}


class Broken(ClosedGate):
    """A journal that meets an error which nobody thought of, for what comes of proxy `bad`."""

    async def append(self, kind: Kind, source: str, payload: bytes, message: Any = None, *, sender: str = "") -> int:
        if source == "bad" or kind != Kind.REFUSED:
            raise KeyError("secret")
        return await super().append(kind, source, payload, message, sender=sender)


async def test_an_error_that_nobody_thought_of_is_told_and_keeps_no_other_count_back(caplog: pytest.LogCaptureFixture) -> None:
    gate = Broken()
    gate.open = True
    counted = Refusals(gate, retry_seconds=0)
    for source in ("bad", "a"):
        counted.add(source, "journal_full", Count(1, 1, 1))
    while not gate.told:
        await asyncio.sleep(0)
    counted.add("b", "journal_full", Count(1, 1, 1))
    while len(gate.told) < 2:
        await asyncio.sleep(0)
    await counted.close()
    assert [source for source, _ in gate.told] == ["a", "b"]
    assert "is not in the ledger yet: KeyError" in caplog.text
    assert "lost without an entry in the ledger: {('bad'" in caplog.text
    assert "secret" not in caplog.text


async def test_a_log_message_that_is_lost_for_an_error_of_ours_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    gate, registry = Broken(), CollectorRegistry()
    gate.open = True
    receiver = AccessLogReceiver(gate, AccessLogMetrics(registry), Ingest())
    receiver._append_soon("n", b"123", StreamAccessLogsMessage.FromString(log_message(entries=2)), "", "10.0.0.1")
    await receiver.drain()
    assert gate.told == [("n", {"reason": "journal_failed", "messages": 1, "entries": 2, "bytes": 3})]
    assert registry.get_sample_value("meshscribe_access_log_entries_total", {"result": "refused"}) == 2
    assert "lost for an error in the collector: KeyError" in caplog.text
