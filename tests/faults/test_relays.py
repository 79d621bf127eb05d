"""A relay's target is dead for a while under load: nothing else notices, and afterwards the target has every event once, in order.

MESHSCRIBE_SOAK_DEAD_SECONDS and MESHSCRIBE_SOAK_RATE set the long form's size.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from collector.messages import tap_pb2
from tests.faults.ways import WAYS, End, Sink
from tests.support.cluster import Member, collector_alone, rss_bytes
from tests.support.waits import until

MB = 1 << 20
GROWTH = 48 * MB  # of a process that holds one batch of the relay more, and what its allocator keeps
PER_POST = 5
BODY = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}' % (b"word " * 200)


class Size(NamedTuple):
    dead_seconds: float
    rate: float  # exchanges a second


SHORT = Size(6, 100)
SOAK = Size(float(os.environ.get("MESHSCRIBE_SOAK_DEAD_SECONDS", "300")), float(os.environ.get("MESHSCRIBE_SOAK_RATE", "500")))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


class Tap(threading.Thread):
    """A proxy's filter at a steady rate. `delays`: from each post's acknowledgement until its last exchange was in the sink (s)."""

    def __init__(self, port: int, sink: Sink, rate: float) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.delays: list[float] = []
        self.ending = threading.Event()
        self._url, self._sink, self._rate = f"http://127.0.0.1:{port}/v1/tap", sink, rate

    def run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            due = time.monotonic()
            while not self.ending.is_set():
                answer = client.post(self._url, content=self._batch(), headers={"content-type": "application/x-protobuf"})
                assert answer.status_code == 200
                self._note()
                due += PER_POST / self._rate
                time.sleep(max(0.0, due - time.monotonic()))

    def _note(self) -> None:
        began, last = time.monotonic(), f"relay-{self.sent}"
        while not self._sink.has(last):
            time.sleep(0.005)
        self.delays.append(time.monotonic() - began)

    def _batch(self) -> bytes:
        parts = []
        for _ in range(PER_POST):
            self.sent += 1
            part = tap_pb2.Part(
                stream=self.sent,
                request_id=f"relay-{self.sent}".encode(),
                start_us=time.time_ns() // 1000,
                downstream="10.0.0.9:1234",
                level=tap_pb2.REQUEST_RESPONSE,
                end=tap_pb2.End(at_us=1000, request_size=len(BODY), request_complete=True, response_complete=True, response_code=200),
            )
            part.runs.add(direction=tap_pb2.REQUEST_BODY, offset=0, data=BODY, lengths=[len(BODY)], times_us=[10])
            parts.append(part)
        totals = tap_pb2.Totals(streams=self.sent, ends=self.sent, ends_sealed=self.sent)
        node = tap_pb2.Node(id="sidecar~10.0.0.9~relay-0.demo~demo.svc.cluster.local", namespace="demo", workload="relay")
        sequence = self.sent // PER_POST
        return tap_pb2.Batch(node=node, vm="00000000feedf00d", sequence=sequence, totals=totals, parts=parts).SerializeToString()


@pytest.mark.slow
@pytest.mark.cold
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", [SHORT, pytest.param(SOAK, marks=pytest.mark.soak)], ids=["short", "soak"])
@pytest.mark.parametrize("target", WAYS)
def test_a_dead_target_is_noticed_by_nobody_and_has_everything_afterwards(
    request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack, target: str, size: Size
) -> None:
    sink, end = WAYS[target](request, stack)
    stack.callback(sink.close)
    collector = collector_alone(tmp_path, stack, {**sink.environment, **end.environment})
    tap = Tap(collector.ingest_port, sink, size.rate)
    tap.start()
    assert until(end.exchanges, bool, 60), "the target never had anything"
    healthy = _while(tap, size.dead_seconds / 2)
    end.die()
    try:
        assert "failing" in until(lambda: _relay(collector), lambda detail: "failing" in detail, 60)
        before = rss_bytes(collector)
        dead = _while(tap, size.dead_seconds)
        grown = rss_bytes(collector) - before
        assert collector.ready, "a relay's target makes nobody unready"
        assert "failing since" in _relay(collector)
    finally:
        end.revive()
    tap.ending.set()
    tap.join(60)
    delays = [1000 * statistics.median(measured) for measured in (healthy, dead)]
    print(f"\n{target}: dead {size.dead_seconds:g} s, RSS {before / MB:.0f} MB {grown / MB:+.1f} MB")
    print(f"{target}: the sink's delay {delays[0]:.1f} → {delays[1]:.1f} ms")
    assert grown < GROWTH
    # Both were measured under the same load; a busy machine makes single ones late.
    assert delays[1] < 2 * delays[0] + 100
    _has_everything(end, sink, tap.sent)


def _while(tap: Tap, seconds: float) -> list[float]:
    """The delays that the tap measured meanwhile."""
    from_ = len(tap.delays)
    tap.join(seconds)
    assert tap.is_alive(), "the load ended by itself"
    return tap.delays[from_:]


def _relay(collector: Member) -> str:
    return str(collector.components().get("relay r", {}).get("detail", ""))


def _has_everything(end: End, sink: Sink, sent: int) -> None:
    stored = sink.exchanges()
    assert len(stored) == sent

    def there() -> list[str]:
        with suppress(OSError):
            return end.exchanges()
        return []

    found = until(there, lambda found: len(found) >= sent, 120)
    print(f"{len(found)} at the target of {sent} stored")
    assert found == stored
