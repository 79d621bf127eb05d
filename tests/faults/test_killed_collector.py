"""A collector that is killed (SIGKILL) at any moment loses nothing that it acknowledged, and stores nothing twice.

MESHSCRIBE_SOAK_KILLS and MESHSCRIBE_SOAK_RATE set the long form's size.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from collector.messages import tap_pb2
from collector.messages.completeness import Completeness
from tests.bench.load import Load
from tests.faults.rig import Rig, Running
from tests.support.waits import until

SOAK_KILLS = int(os.environ.get("MESHSCRIBE_SOAK_KILLS", "20"))
SOAK_RATE = float(os.environ.get("MESHSCRIBE_SOAK_RATE", "500"))
UP_SECONDS = (0.2, 2.5)
AS_SENT = (Completeness.COMPLETE, Completeness.ACCESS_LOG_MISSING)  # a log's batch that was under way is lost: Envoy sends it once


class Witness(threading.Thread):
    """A filter of its own: posts batches of one exchange and notes which were acknowledged. Half of the others it repeats."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.ending = threading.Event()
        self._url = f"http://127.0.0.1:{port}/v1/tap"

    def run(self) -> None:
        with httpx.Client(timeout=5, trust_env=False) as client:
            sequence = 0
            while not self.ending.is_set():
                sequence += 1
                name, batch = f"witness-{sequence}", _batch(sequence)
                while not self._post(client, name, batch) and sequence % 2 and not self.ending.is_set():
                    time.sleep(0.02)

    def _post(self, client: httpx.Client, name: str, batch: bytes) -> bool:
        try:
            answer = client.post(self._url, content=batch, headers={"content-type": "application/x-protobuf"})
        except httpx.TransportError:
            return False
        if answer.status_code == 200:
            self.acknowledged.append(name)
        return answer.status_code == 200


def _batch(sequence: int) -> bytes:
    end = tap_pb2.End(at_us=1000, request_complete=True, response_complete=True, response_code=200)
    part = tap_pb2.Part(
        stream=sequence,
        request_id=f"witness-{sequence}".encode(),
        start_us=time.time_ns() // 1000,
        downstream="10.0.0.9:1234",
        level=tap_pb2.REQUEST_RESPONSE,
        end=end,
    )
    totals = tap_pb2.Totals(streams=sequence, ends=sequence, ends_sealed=sequence)
    node = tap_pb2.Node(id="sidecar~10.0.0.9~witness-0.demo~demo.svc.cluster.local", namespace="demo", workload="witness")
    return tap_pb2.Batch(node=node, vm="00000000feedbeef", sequence=sequence, totals=totals, parts=[part]).SerializeToString()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kills", "rate"), [(3, 500.0), pytest.param(SOAK_KILLS, SOAK_RATE, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_a_killed_collector_keeps_what_it_acknowledged_and_stores_nothing_twice(
    make_rig: Callable[..., Rig], kills: int, rate: float
) -> None:
    rig = make_rig(queue_bytes=64 << 20)  # room to wait for the collector's return
    witness = Witness(rig.collector.ingest_port)
    witness.start()
    sent = _under_fire(rig, kills, rate)
    witness.ending.set()
    witness.join(30)
    assert witness.acknowledged
    sent += rig.settle()
    recorded = until(rig.recorded, lambda found: _of_envoy(found) == sent and found.keys() >= set(witness.acknowledged), 90)
    assert set(witness.acknowledged) - recorded.keys() == set(), "acknowledged and not stored"
    assert _of_envoy(recorded) == sent
    assert set(recorded.values()) <= set(AS_SENT)
    _exact(rig, sent)


def _under_fire(rig: Rig, kills: int, rate: float) -> int:
    """Load while the collector is killed and started again. Returns how many requests were answered; none failed."""
    chance, answered = random.Random(kills), 0
    for number in range(kills):
        up = chance.uniform(*UP_SECONDS)
        running: Running = rig.load(Load(rig.tapped, rate=rate, seconds=up + 1.0, prefix=f"load{number}"))
        time.sleep(up)  # the moment of the kill is what the test varies
        rig.collector.process.kill()
        rig.collector.start()
        (result,) = running.wait()
        assert result.failed == 0
        answered += result.answered
    return answered


def _of_envoy(recorded: dict[str, Completeness]) -> int:
    return sum(1 for name in recorded if not name.startswith("witness-"))


def _exact(rig: Rig, sent: int) -> None:
    def ours() -> dict[str, Any]:
        items = rig.audit.ledger(group="proxy")
        return next((item for item in items if item.get("workload") != "witness"), {})

    def came(found: dict[str, Any]) -> int:
        return int(found["received"] + found["cured"]["missing"])

    ledger = until(ours, lambda found: bool(found) and came(found) == found["announced"] == sent, 30)
    assert (ledger["announced"], came(ledger), ledger["lost"]) == (sent, sent, 0)
    assert {one["reason"] for one in rig.audit.totals()["away"]} >= {"killed"}
