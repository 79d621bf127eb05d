"""An orderly restart behind the removal of its endpoint, as Kubernetes and istiod do it: what is lost of the access log Envoy has counted.

MESHSCRIBE_SOAK_RESTARTS sets the long form's size.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from collector.demo.envoy import Envoy
from collector.demo.envoy_filters import ALS_CLUSTER
from collector.demo.parts import answers
from collector.messages.completeness import Completeness
from tests.bench.load import Load
from tests.faults.rig import Rig
from tests.support.endpoints import Endpoints
from tests.support.waits import until

SOAK_RESTARTS = int(os.environ.get("MESHSCRIBE_SOAK_RESTARTS", "20"))
RATE = 150.0
STATS = "access_logs.grpc_access_log."


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("restarts", [2, pytest.param(SOAK_RESTARTS, marks=pytest.mark.soak)], ids=["short", "soak"])
def test_a_restart_loses_no_entry_that_envoy_does_not_count(make_rig: Callable[..., Rig], restarts: int) -> None:
    rig = make_rig(cluster=Endpoints)
    assert rig.endpoints is not None
    answered = 0
    for number in range(restarts):
        load = rig.load(Load(rig.tapped, requests=int(RATE * 8), rate=RATE, connections=16, prefix=f"r{number}"))
        before = written(rig.envoy)
        assert until(lambda: written(rig.envoy), lambda now, before=before: now > before + RATE, 60) > before  # type: ignore[misc]
        rig.endpoints.put()
        assert until(lambda: hosts(rig.envoy), lambda found: not found, 60) == []
        rig.collector.process.stop()
        rig.collector.process.start(lambda: answers(f"{rig.collector.url}/readyz/ingest"), 60)
        rig.endpoints.put(rig.collector.grpc_port)
        (result,) = load.wait()
        assert result.failed == 0
        answered += result.answered
    logged = until(lambda: written(rig.envoy) + dropped(rig.envoy), lambda count: count == answered, 30)
    assert logged == answered, "Envoy knows of every request"
    kinds = until(lambda: Counter(rig.recorded("r").values()), lambda found: found.total() == answered, 90)
    assert kinds[Completeness.COMPLETE] == written(rig.envoy), "what Envoy sent is stored"
    assert kinds[Completeness.ACCESS_LOG_MISSING] == dropped(rig.envoy), "what it could not send it has counted"
    assert kinds.total() == answered
    print(f"\n{restarts} restarts: {dropped(rig.envoy)} entries of {answered} lost, all counted by Envoy")
    reasons = {one["reason"] for one in rig.ledger()["away"]}
    assert "stopped" in reasons, "and the ledger says when nobody listened"
    assert reasons <= {"stopped", "hung"}, "a busy machine lets it stand still"


def written(envoy: Envoy) -> int:
    """Access log entries that Envoy took for a stream."""
    return envoy.stats("grpc_access_log.logs_written")[f"{STATS}logs_written"]


def dropped(envoy: Envoy) -> int:
    """Entries that found no room while there was no endpoint."""
    return envoy.stats("grpc_access_log.logs_dropped").get(f"{STATS}logs_dropped", 0)


def hosts(envoy: Envoy) -> list[str]:
    """The endpoints that Envoy knows for the access log's cluster."""
    lines = envoy.admin("/clusters").splitlines()
    return [line for line in lines if line.startswith(f"{ALS_CLUSTER}::127.0.0.1") and "::cx_active::" in line]
