"""Two receivers behind one name, restarted one after the other, each behind the removal of its endpoint: no access log entry is lost.

MESHSCRIBE_SOAK_RESTARTS sets the long form's size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.ports import Ports
from tests.bench import upstream
from tests.bench.load import Load
from tests.faults.rig import Running
from tests.faults.test_restarts import dropped, hosts, written
from tests.support.cluster import Cluster, Member, exactly_once
from tests.support.endpoints import Endpoints
from tests.support.waits import until

ROUNDS = int(os.environ.get("MESHSCRIBE_SOAK_RESTARTS", "20"))
RATE = 150.0


class Mesh:
    """One sidecar that logs to the receivers, in front of a fast upstream."""

    def __init__(self, folder: Path, stack: ExitStack, ports: Callable[[], int], grpc_port: int) -> None:
        fast, self.port = ports(), ports()
        for name in ("upstream", "sidecar"):
            (folder / name).mkdir()
        config = bootstrap(Sidecar(ports(), [Inbound(self.port, fast)], ingest_port=ports(), grpc_port=grpc_port))
        self.endpoints = Endpoints(folder, config)
        self.envoy = Envoy(config, folder / "sidecar", 2)
        for envoy in (Envoy(upstream.config(fast, ports()), folder / "upstream"), self.envoy):
            stack.callback(envoy.stop)
            envoy.start()

    def show(self, *members: Member) -> None:
        """Their endpoints are all there are, and Envoy knows it."""
        self.endpoints.put(*(member.grpc_port for member in members))
        assert until(lambda: len(hosts(self.envoy)), lambda count: count == len(members), 60) == len(members)


@pytest.fixture
def make_mesh(tmp_path: Path) -> Iterator[Callable[[int], Mesh]]:
    with ExitStack() as stack:
        ports = stack.enter_context(Ports())
        yield lambda grpc_port: Mesh(tmp_path, stack, ports.take, grpc_port)


@pytest.mark.timeout(900)
@pytest.mark.mesh
@pytest.mark.parametrize("rounds", [1, pytest.param(ROUNDS, marks=pytest.mark.soak)], ids=["short", "soak"])
def test_receivers_restarted_one_after_the_other_lose_nothing(
    make_cluster: Callable[..., Cluster], make_mesh: Callable[[int], Mesh], rounds: int
) -> None:
    cluster = make_cluster(partitions=2)
    expects = {"MESHSCRIBE_CORRELATE__EXPECT": "access_log"}
    receivers = [cluster.member(name, "receive") for name in ("first", "second")]
    members = [*receivers, cluster.member("process", "process", **expects)]
    for member in members:
        member.launch()
    assert until(lambda: all(member.ready for member in members), bool, 120), [member.process.tail() for member in members]
    mesh = make_mesh(receivers[0].grpc_port)
    mesh.show(*receivers)
    wanted: set[str] = set()
    for number in range(rounds):
        for down, other in (receivers, receivers[::-1]):
            prefix = f"r{number}-{down.name}"
            running = Running([Load(mesh.port, requests=int(RATE * 6), rate=RATE, connections=16, prefix=prefix)])
            before = written(mesh.envoy)
            assert until(lambda: written(mesh.envoy), lambda now, before=before: now > before + RATE, 60) > before  # type: ignore[misc]
            mesh.show(other)
            down.process.stop()
            down.start("readyz/ingest")
            mesh.show(*receivers)
            (result,) = running.wait()
            assert result.failed == 0
            wanted |= {f"{prefix}-{request}" for request in range(result.answered)}
    assert until(lambda: written(mesh.envoy), lambda count: count == len(wanted), 30) == len(wanted)
    assert dropped(mesh.envoy) == 0
    exactly_once(cluster, wanted, 120)
