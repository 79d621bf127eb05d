"""The gate: who has more than his share waits a moment, then is refused; what passes is given back whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from collector.errors import JournalFullError, OverShareError, RetryableError
from collector.messages.entry import Kind
from collector.metrics import AdmissionMetrics
from collector.receive import admission as module
from collector.receive.admission import Admission
from collector.receive.shares import ENTRY_US, NO_PIPELINE, Progress, Shares

LARGE = bytes(100 << 20)  # 1.5 s of work, by its bytes


class Journal:
    """Stores at once, unless it is told to fail."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.error: Exception | None = None

    async def append(self, kind: Kind, source: str, payload: bytes, message: Any = None, *, sender: str = "") -> int:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.sources.append(source)
        return len(self.sources)


class Gate:
    """An admission and what it looks at."""

    def __init__(self) -> None:
        self.journal, self.registry, self.settled, self.kept = Journal(), CollectorRegistry(), 0, 0
        self.shares = Shares(1 << 30, 1 << 30)
        metrics = AdmissionMetrics(self.registry)
        patience = {Kind.TAP: 0.05, Kind.ACCESS_LOG: 30.0}
        progress = lambda: Progress(self.settled, self.settled)  # noqa: E731
        self.admission = Admission(self.journal, self.shares, lambda: self.kept, progress, metrics, patience, look_seconds=0.001)

    async def send(self, source: str, payload: bytes = b"", kind: Kind = Kind.TAP) -> int:
        return await self.admission.append(kind, source, payload)

    def refused(self, reason: str) -> float:
        return self.registry.get_sample_value("meshscribe_ingest_refused_total", {"reason": reason}) or 0.0


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def flood(gate: Gate) -> None:
    await gate.send("quiet")
    await gate.send("flooder", LARGE)


async def test_who_floods_is_refused_under_his_name_and_the_others_pass(gate: Gate) -> None:
    await flood(gate)
    with pytest.raises(OverShareError, match=r"node flooder.*processed"):
        await gate.send("flooder")
    assert await gate.send("quiet") == 3
    assert await gate.send("new") == 4
    assert gate.refused("share_processing") == 1
    assert "'node flooder' 1 times" in str(gate.admission.offenders)
    assert gate.shares.waiting == 0


async def test_who_waits_passes_as_soon_as_the_pipeline_is_through(gate: Gate) -> None:
    await flood(gate)
    waiting = asyncio.create_task(gate.send("flooder", kind=Kind.ACCESS_LOG))
    await gate.send("quiet")
    assert not waiting.done()
    gate.settled = 3
    assert await waiting == 4
    assert gate.refused("share_processing") == 0


async def test_at_the_end_nobody_waits(gate: Gate) -> None:
    await flood(gate)
    waiting = asyncio.create_task(gate.send("flooder", kind=Kind.ACCESS_LOG))
    await asyncio.sleep(0)
    gate.admission.hurry()
    assert await waiting == 3


async def test_a_known_sender_with_much_that_waits_is_not_even_read(gate: Gate) -> None:
    key = "address 10.0.0.1"
    await gate.send("quiet")
    await gate.admission.append(Kind.TAP, "a", LARGE, peer="10.0.0.1")
    waiting = [asyncio.create_task(gate.admission.append(Kind.ACCESS_LOG, "a", b"", peer="10.0.0.1")) for _ in range(module.MAX_TURNS)]
    gate.admission.check_before_reading(key)
    await asyncio.sleep(0)
    for other in ("", "address 10.0.0.2"):
        gate.admission.check_before_reading(other)
    with pytest.raises(OverShareError):
        gate.admission.check_before_reading(key)
    gate.settled = NO_PIPELINE
    await asyncio.gather(*waiting)
    gate.admission.check_before_reading(key)


async def test_more_than_a_share_of_the_quota_is_refused_at_once(gate: Gate) -> None:
    gate.kept = (1 << 30) - 1_000_000
    with pytest.raises(OverShareError, match="quota_bytes"):
        await gate.send("flooder", LARGE)
    assert await gate.send("flooder", b"small") == 1


@pytest.mark.parametrize("error", [JournalFullError("full"), RetryableError("broken"), asyncio.CancelledError()])
async def test_what_the_journal_does_not_take_is_given_back(gate: Gate, error: Exception) -> None:
    gate.journal.error = error
    with pytest.raises(type(error)):
        await gate.send("a", LARGE)
    assert (gate.shares.waiting, gate.shares.work_us) == (0, 0)
    gate.journal.error = None
    await gate.send("a")
    assert gate.shares.work_us == ENTRY_US


async def test_without_a_pipeline_only_what_waits_is_shared() -> None:
    admission = Admission.of(Journal())
    assert Admission.of(admission) is admission
    for _ in range(5):
        await admission.append(Kind.TAP, "quiet", b"")
        await admission.append(Kind.TAP, "flooder", LARGE)
    narrow = Admission(Journal(), Shares(0, 5 * len(LARGE) // 2))
    waiting = asyncio.create_task(narrow.append(Kind.TAP, "flooder", LARGE))
    await asyncio.sleep(0)
    with pytest.raises(OverShareError, match="waits for the journal"):
        await narrow.append(Kind.TAP, "flooder", LARGE)
    await narrow.append(Kind.TAP, "quiet", b"")
    await waiting
