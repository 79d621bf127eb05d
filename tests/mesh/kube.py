"""The scripted API server of tests/kubernetes in a thread of its own, for tests that are not asynchronous; it counts every request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from tests.kubernetes.cluster import ScriptedCluster, write_kubeconfig
from tests.kubernetes.scripted import ScriptedServer

T = TypeVar("T")


class CountingServer(ScriptedServer):
    """`requests`: all that the collector has asked so far, whatever it was."""

    def __init__(self) -> None:
        super().__init__()
        self.bookmark_s = 1.0
        self.requests = 0

    async def _route(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("User-Agent", "").startswith("meshscribe"):
            self.requests += 1
        return await super()._route(request)


class Kubernetes:
    """An API server with the CRDs. Writes return the object as it then is."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = CountingServer()
        self._cluster = ScriptedCluster()
        self._cluster.server = self.server
        self.start()
        self.kubeconfig = write_kubeconfig(folder / "kubeconfig", "http", self.server.port)

    def start(self) -> None:
        self._do(self._cluster.start())

    def stop(self) -> None:
        """It refuses connections; what it stored stays."""
        self._do(self._cluster.stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def create(self, namespace: str, name: str, annotations: Mapping[str, str], spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._do(self._cluster.operator.create(namespace, name, annotations, spec))["metadata"]

    def annotate(self, namespace: str, name: str, annotations: Mapping[str, str | None]) -> dict[str, Any]:
        patch = {"metadata": {"annotations": dict(annotations)}}
        return self._do(self._cluster.operator.patch(namespace, name, patch))["metadata"]

    def delete(self, namespace: str, name: str) -> None:
        self._do(self._cluster.operator.delete(namespace, name))

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)
