"""What a process says of its dead letters: from memory, never a reason not to be ready, and never silent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from collector.dead_letters import Heap, damaged
from collector.dead_letters.burials import Burials
from collector.errors import RetryableError
from collector.messages.event import Place
from collector.metrics import DeadLetterMetrics
from tests.support.events import JOURNAL, NOW_US
from tests.support.relays import Letters


async def looked(burials: Burials, letters: Letters) -> str:
    """The detail after one look."""
    task = asyncio.create_task(burials.look(letters, 60))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    component = burials.component()
    assert (component.name, component.ok) == ("dead letters", True)
    return component.detail


async def test_how_many_there_are_and_why_the_newest_is() -> None:
    letters, burials = Letters(), Burials()
    assert await looked(burials, letters) == "none"
    for number in range(3):
        await letters.add(damaged("relay:r", JOURNAL, Place(number, 0), b"", f"because {number}", NOW_US + number))
    assert await looked(burials, letters) == "3, the newest of 2025-11-22T08:26:40.123458Z by relay:r: because 2"
    burials.count("enrich", "enrich failed: KeyError")
    burials.count("enrich", "enrich failed: KeyError")
    burials.count("row", "refused")
    assert (await looked(burials, letters)).endswith("; 3 since the start (enrich 2, row 1), the last: refused")


async def test_letters_that_cannot_be_looked_at_are_said_not_to_be_known(caplog: pytest.LogCaptureFixture) -> None:
    class Down(Letters):
        async def heaps(self) -> Sequence[Heap]:
            raise RetryableError("down")

    assert await looked(Burials(), Down()) == "not looked at yet"
    assert "down" in caplog.text


def test_the_metric_tells_every_stage_from_the_start() -> None:
    registry, burials = CollectorRegistry(), Burials()
    DeadLetterMetrics(registry, burials)
    burials.count("describe", "x")
    text = generate_latest(registry).decode()
    assert 'meshscribe_dead_letters_total{stage="describe"} 1.0' in text
    assert 'meshscribe_dead_letters_total{stage="feed"} 0.0' in text
    assert "meshscribe_sink_dead_letters 1.0" in text
