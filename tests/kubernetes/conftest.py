"""The cluster under test: the scripted server, or with MESHSCRIBE_KUBERNETES=real a kube-apiserver with its etcd.

MESHSCRIBE_KUBERNETES_BIN names the folder with both programs (build.sh makes it); without it they are built into
``.cache/kubernetes`` first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster, ScriptedCluster, write_kubeconfig
from tests.kubernetes.link import Link
from tests.kubernetes.real import RealCluster

REAL = os.environ.get("MESHSCRIBE_KUBERNETES") == "real"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    binaries = os.environ.get("MESHSCRIBE_KUBERNETES_BIN")
    if not binaries:
        target = ROOT / ".cache" / "kubernetes"
        subprocess.run([str(ROOT / "tests/kubernetes/build.sh"), str(target)], check=True)
        binaries = str(target / "bin")
    cluster = RealCluster(Path(binaries), tmp_path_factory.mktemp("kubernetes"))
    cluster.launch()
    yield cluster
    cluster.close()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedCluster]:
    cluster = ScriptedCluster()
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """An API server that answers, with the CRDs and no services."""
    if not REAL:
        scripted = ScriptedCluster()
        await scripted.start()
        yield scripted
        await scripted.stop()
        return
    real: RealCluster = request.getfixturevalue("real_cluster")
    if not real.running:
        await real.start()
    else:
        real.attach()
    await real.furnish()
    await real.operator.clear()
    yield real
    await real.operator.close()


@pytest.fixture
async def link(cluster: Cluster) -> AsyncIterator[Link]:
    """The network between the watch and the cluster."""
    link = Link(cluster.port)
    await link.up()
    yield link
    link.thaw()
    await link.down()


@pytest.fixture
def kubeconfig(cluster: Cluster, link: Link, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kubeconfig", cluster.scheme, link.port)


@pytest.fixture
def kubeconfig_of(cluster: Cluster, link: Link, tmp_path: Path) -> Callable[[str], Path]:
    """A kubeconfig with another token."""
    return lambda token: write_kubeconfig(tmp_path / f"kubeconfig-{token}", cluster.scheme, link.port, token)
