"""A real kube-apiserver and etcd, built by build.sh, as a `Cluster`.

Starts both in a directory of its own; `start` and `stop` are the API server's alone (SIGKILL), etcd keeps its data.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import aiohttp

from tests.kubernetes.cluster import GROUP, VERSIONS, Operator

NAMES = {"inferenceservices": "InferenceService", "llminferenceservices": "LLMInferenceService"}
READY_S = 90


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def definition(plural: str) -> dict[str, Any]:
    """A CRD with KServe's names and a status subresource; any spec is accepted."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = ["v1beta1"] if plural == "inferenceservices" else ["v1alpha1", "v1alpha2"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": NAMES[plural], "listKind": NAMES[plural] + "List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[-1],
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
                for version in versions
            ],
        },
    }


class RealCluster:
    """One etcd and one kube-apiserver on free ports of 127.0.0.1."""

    scheme = "https"

    def __init__(self, binaries: Path, directory: Path) -> None:
        self._binaries = binaries
        self._directory = directory
        self.port = free_port()
        self._etcd_port = free_port()
        self._etcd: subprocess.Popen[bytes] | None = None
        self._api: subprocess.Popen[bytes] | None = None
        self._logs = (directory / "log").open("ab")

    def launch(self) -> None:
        """Starts etcd; the API server comes with `start`."""
        key = self._directory / "service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        tokens = 'admin,admin,1,"system:masters"\nnobody,nobody,2\n'
        (self._directory / "tokens.csv").write_text(tokens)
        urls = f"http://127.0.0.1:{self._etcd_port}"
        peers = f"http://127.0.0.1:{free_port()}"
        self._etcd = self._spawn(
            "etcd",
            f"--data-dir={self._directory / 'etcd'}",
            f"--listen-client-urls={urls}",
            f"--advertise-client-urls={urls}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            # Else the bookmarks of an idle resource never advance.
            "--watch-progress-notify-interval=5s",
            "--unsafe-no-fsync",
            "--log-level=error",
        )

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([str(self._binaries / program), *arguments], stdout=self._logs, stderr=self._logs)

    @property
    def running(self) -> bool:
        return self._api is not None

    def attach(self) -> None:
        """A new operator: its connections belong to one event loop."""
        self.operator = Operator(f"https://127.0.0.1:{self.port}")

    async def start(self) -> None:
        self.attach()
        directory, key = self._directory, self._directory / "service-account.key"
        self._api = self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={directory / 'certificates'}",
            f"--token-auth-file={directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.test",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
            "--v=0",
        )
        await self._ready("/readyz")

    async def _ready(self, path: str) -> None:
        async with asyncio.timeout(READY_S):
            while not await self._answers(path):
                await asyncio.sleep(0.1)

    async def _answers(self, path: str) -> bool:
        assert self._api is None or self._api.poll() is None, (self._directory / "log").read_text()[-3000:]
        try:
            await self.operator.call("GET", path)
        except (AssertionError, aiohttp.ClientError):
            return False
        return True

    async def stop(self) -> None:
        await self.operator.close()
        _end(self._api, signal.SIGKILL)
        self._api = None

    def close(self) -> None:
        _end(self._api, signal.SIGKILL)
        _end(self._etcd, signal.SIGKILL)
        self._logs.close()

    async def furnish(self) -> None:
        """The CRDs and the namespaces that the suite uses."""
        for plural in VERSIONS:
            if not await self._answers(f"/apis/{GROUP}/{VERSIONS[plural]}/{plural}"):
                await self.install_crd(plural)
        for namespace in ("models", "other"):
            if not await self._answers(f"/api/v1/namespaces/{namespace}"):
                await self.operator.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})

    async def expire(self) -> None:
        """Compacts etcd up to now; the restart empties the API server's own window of past events."""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self._etcd_port}") as session:
            async with session.post("/v3/kv/range", json={"key": "AA=="}) as response:
                revision = (await response.json())["header"]["revision"]
            async with session.post("/v3/kv/compaction", json={"revision": revision, "physical": True}) as response:
                assert response.status == 200, await response.text()
        await self.stop()
        await self.start()

    async def remove_crd(self, plural: str) -> None:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}"
        await self.operator.call("DELETE", path)
        async with asyncio.timeout(READY_S):
            while await self._answers(path):
                await asyncio.sleep(0.05)

    async def install_crd(self, plural: str) -> None:
        await self.operator.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(plural))
        await self._ready(f"/apis/{GROUP}/{VERSIONS[plural]}/{plural}")

    async def reads(self) -> int:
        text = await self.operator.call("GET", "/metrics")
        counted = re.findall(rf'^apiserver_request_total\{{[^}}]*group="{GROUP}"[^}}]*verb="(?:LIST|WATCH)"[^}}]*\}} (\d+)', text, re.M)
        live = re.findall(rf'^apiserver_longrunning_requests\{{[^}}]*group="{GROUP}"[^}}]*verb="WATCH"[^}}]*\}} (\d+)', text, re.M)
        # A watch is counted at its end; those still open are counted beside.
        return sum(map(int, [*counted, *live]))


def _end(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is not None:
        process.send_signal(number)
        process.wait()
