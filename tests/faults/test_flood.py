"""One sender that posts as fast as it can does not starve its neighbour: what the neighbour sends is stored soon, and once.

MESHSCRIBE_SOAK_FLOOD_SECONDS sets the long form's length. MESHSCRIBE_FLOOD_FIGURES=1 prints how soon, alone and beside the flood.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.faults.flood import FLOODER, Flood, Neighbour
from tests.support.waits import until

SETTINGS = {"MESHSCRIBE_CORRELATE__EXPECT": "tap", "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "1"}
SOAK_SECONDS = float(os.environ.get("MESHSCRIBE_SOAK_FLOOD_SECONDS", "120"))
RATE = 20.0
PATIENCE_SECONDS = 60.0  # with other tests beside


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "connections"),
    [(5.0, 4), pytest.param(SOAK_SECONDS, 1, marks=pytest.mark.soak), pytest.param(SOAK_SECONDS, 32, marks=pytest.mark.soak)],
    ids=["short", "soak-1", "soak-32"],
)
@pytest.mark.timeout(900)
def test_a_neighbour_is_stored_beside_a_flood(tmp_path: Path, seconds: float, connections: int) -> None:
    with Ports() as ports:
        collector = CollectorProcess(ports.take(), ports.take(), ports.take(), tmp_path, SETTINGS)
        collector.start()
        try:
            _told("alone", _neighbour(collector, tmp_path, 2.0))
            flood = Flood(collector.ingest_port, connections, 4000)
            try:
                refused = 'meshscribe_ingest_refused_total{reason="share_processing"}'
                assert until(lambda: _metric(collector, refused), bool, PATIENCE_SECONDS), "the flood is no flood"
                good = _neighbour(collector, tmp_path, seconds)  # returns when all is stored, and the flood goes on
                _told("beside the flood", good)
                ingest = httpx.get(f"{collector.url}/readyz", trust_env=False, timeout=30).json()["components"][0]
            finally:
                answers = flood.stop()
        finally:
            collector.process.stop()
    assert answers.keys() == {"200", "503"}
    assert good.refused == 0
    assert FLOODER in ingest["detail"]
    assert "neighbour" not in ingest["detail"]
    assert _once(tmp_path / "events.db", good.prefix) == len(good.seconds)


def _neighbour(collector: CollectorProcess, folder: Path, seconds: float) -> Neighbour:
    neighbour = Neighbour(collector.ingest_port, folder / "events.db", int(seconds * RATE), RATE)
    neighbour.start()
    assert neighbour.settled(seconds + PATIENCE_SECONDS), f"{len(neighbour.seconds)} are stored, {len(neighbour.waiting)} are not"
    return neighbour


def _told(when: str, neighbour: Neighbour) -> None:
    if os.environ.get("MESHSCRIBE_FLOOD_FIGURES"):
        shares = ", ".join(f"p{int(share * 100)} {neighbour.percentile(share) * 1000:.0f} ms" for share in (0.5, 0.95, 0.99, 1.0))
        print(f"{when}: {len(neighbour.seconds)} exchanges stored after {shares}")


def _metric(collector: CollectorProcess, name: str) -> float:
    lines = httpx.get(f"{collector.url}/metrics", trust_env=False, timeout=30).text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def _once(store: Path, prefix: str) -> int:
    with closing(sqlite3.connect(store)) as connection:
        counted = "SELECT request_id, COUNT(*) FROM exchanges WHERE request_id LIKE ? || '%' GROUP BY 1"
        found = connection.execute(counted, (prefix,)).fetchall()
    assert {times for _, times in found} == {1}
    return len(found)
