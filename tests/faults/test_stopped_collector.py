"""A collector that is stopped (SIGSTOP: it accepts bytes and answers nothing) harms no request, and its losses are counted.

MESHSCRIBE_SOAK_STOP_SECONDS, MESHSCRIBE_SOAK_RATE and MESHSCRIBE_SOAK_RESPONSE_MB set the long form's size.
"""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from tests.bench.load import Load
from tests.faults.rig import WORKERS, Rig
from tests.support.waits import until

MB = 1 << 20
QUEUE_BYTES = 2 * MB  # small, so that the bound is reached soon
# Per VM its queue and Envoy's copy of what is in flight; the large response's own buffers; what an allocator keeps.
MEMORY_BOUND = WORKERS * 2 * QUEUE_BYTES + 64 * MB
# Both listeners ran at the same time, but a few late requests make a 99th percentile. Who waits for the collector waits for seconds.
NOISE_SECONDS = 0.5


class Size(NamedTuple):
    stop_seconds: float
    rate: float
    response_bytes: int


SHORT = Size(6, 500, 100_000_000)
SOAK = Size(
    float(os.environ.get("MESHSCRIBE_SOAK_STOP_SECONDS", "60")),
    float(os.environ.get("MESHSCRIBE_SOAK_RATE", "1000")),
    int(os.environ.get("MESHSCRIBE_SOAK_RESPONSE_MB", "400")) * 1_000_000,
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [SHORT, pytest.param(SOAK, marks=pytest.mark.soak)], ids=["short", "soak"])
def test_a_stopped_collector_harms_nobody_and_its_losses_are_counted(make_rig: Callable[..., Rig], size: Size) -> None:
    rig = make_rig(queue_bytes=QUEUE_BYTES)
    rig.settle()
    before = rig.rss_bytes()
    rig.collector.process.send(signal.SIGSTOP)
    loads = [Load(port, rate=size.rate, seconds=size.stop_seconds, prefix=prefix) for port, prefix in _listeners(rig)]
    running = rig.load(*loads)
    assert _read(f"http://127.0.0.1:{rig.large}/bytes?size={size.response_bytes}") == size.response_bytes
    tapped, untapped = running.wait()
    grown = rig.rss_bytes() - before
    rig.collector.process.send(signal.SIGCONT)
    assert (tapped.failed, untapped.failed) == (0, 0)
    assert tapped.answered == tapped.sent == untapped.sent
    assert tapped.percentile(1.0) < untapped.percentile(1.0) + size.stop_seconds / 2, "a request waited for the collector"
    assert tapped.percentile(0.99) < 3 * untapped.percentile(0.99) + NOISE_SECONDS
    assert grown < MEMORY_BOUND
    _accounted(rig, tapped.sent + 32 + 1)


def _listeners(rig: Rig) -> list[tuple[int, str]]:
    return [(rig.tapped, "tapped"), (rig.untapped, "untapped")]


def _read(url: str) -> int:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return sum(len(piece) for piece in iter(lambda: answer.read(1 << 20), b""))


def _accounted(rig: Rig, sent: int) -> None:
    """sent = stored + counted drops, exactly."""
    settled = 0

    def told() -> int:
        nonlocal settled
        settled += rig.settle()
        return int(rig.ledger().get("announced", 0))

    assert until(told, lambda announced: announced >= sent, 60) >= sent
    sent += settled
    ledger = until(rig.ledger, lambda found: found.get("announced") == sent and _tap_ends(rig) == _came(found), 60)
    assert ledger["announced"] == sent
    assert ledger["announced"] == ledger["received"] + ledger["dropped"]["total"] + ledger["missing"]
    assert _came(ledger) == _tap_ends(rig)
    assert ledger["dropped"]["total"] > 0, "the queue never reached its bound: the test tested nothing"
    assert (ledger["state"], ledger["lost"]) == ("lost", sent - _tap_ends(rig))
    assert "hung" in {one["reason"] for one in ledger["away"]}


def _came(ledger: Mapping[str, Any]) -> int:
    """Ends that came, those included that an earlier window had counted as missing."""
    return int(ledger["received"] + ledger["cured"]["missing"])


def _tap_ends(rig: Rig) -> int:
    """Stored exchanges whose end the tap told: only an end says whether the request was complete. Its headers may be lost all the same."""
    told = "json_extract(CAST(data AS TEXT), '$.request.complete') IS NOT NULL"
    with rig.store() as store:
        return int(store.execute(f"SELECT count(*) FROM exchanges WHERE NOT superseded AND {told}").fetchone()[0])
