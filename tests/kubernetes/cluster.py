"""What the conformance suite needs of a cluster, whichever it is: writes by an operator, and the server's own misfortunes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import yaml

from tests.kubernetes.scripted import ScriptedServer

GROUP = "serving.kserve.io"
VERSIONS = {"inferenceservices": "v1beta1", "llminferenceservices": "v1alpha2"}


class Operator:
    """Someone who applies, annotates and deletes services with an API client of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=16))
        headers = {"Authorization": "Bearer admin", "Content-Type": kind}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, self._url + path, data=data, headers=headers) as response:
            text = await response.text()
            if response.status == 429:
                # A server that has just started still fills its caches.
                await asyncio.sleep(0.1)
                return await self.call(method, path, body, kind)
            if response.status >= 300:
                raise AssertionError(f"{method} {path}: {response.status} {text[:300]}")
            return json.loads(text) if text.startswith("{") else text

    def _path(self, plural: str, namespace: str = "", name: str = "") -> str:
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"/apis/{GROUP}/{VERSIONS[plural]}{inside}/{plural}" + (f"/{name}" if name else "")

    async def create(
        self,
        namespace: str,
        name: str,
        annotations: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
        plural: str = "inferenceservices",
    ) -> dict[str, Any]:
        kind = {"inferenceservices": "InferenceService", "llminferenceservices": "LLMInferenceService"}[plural]
        body = {
            "apiVersion": f"{GROUP}/{VERSIONS[plural]}",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "annotations": dict(annotations or {})},
            "spec": dict(spec or {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}),
        }
        return await self.call("POST", self._path(plural, namespace), body)

    async def patch(self, namespace: str, name: str, patch: Any, subresource: str = "") -> dict[str, Any]:
        path = self._path("inferenceservices", namespace, name) + (f"/{subresource}" if subresource else "")
        return await self.call("PATCH", path, patch, "application/merge-patch+json")

    async def annotate(self, namespace: str, name: str, **annotations: str | None) -> dict[str, Any]:
        return await self.patch(namespace, name, {"metadata": {"annotations": annotations}})

    async def delete(self, namespace: str, name: str, plural: str = "inferenceservices") -> None:
        await self.call("DELETE", self._path(plural, namespace, name))

    async def services(self) -> dict[tuple[str, str], dict[str, Any]]:
        listed = await self.call("GET", self._path("inferenceservices"))
        return {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in listed["items"] or []}

    async def clear(self) -> None:
        for plural in VERSIONS:
            listed = await self.call("GET", self._path(plural))
            targets = [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in listed["items"] or []]
            await asyncio.gather(*(self.delete(*target, plural=plural) for target in targets))


class Cluster(Protocol):
    """An API server with its storage. `port` speaks https where `scheme` says so; tokens are ``admin`` and ``nobody``."""

    port: int
    scheme: str
    operator: Operator

    async def stop(self) -> None:
        """Kills the API server; what it stored stays."""

    async def start(self) -> None:
        """Starts it again on the same port, and returns once it answers."""

    async def expire(self) -> None:
        """Makes every version so far too old to watch from."""

    async def remove_crd(self, plural: str) -> None: ...

    async def install_crd(self, plural: str) -> None: ...

    async def reads(self) -> int:
        """How many lists and watches of services the server has been asked for so far, by anyone."""
        ...


class ScriptedCluster:
    """The scripted server as a `Cluster`."""

    scheme = "http"

    def __init__(self) -> None:
        self.server = ScriptedServer()

    @property
    def port(self) -> int:
        return self.server.port

    async def start(self) -> None:
        await self.server.start()
        self.operator = Operator(f"http://127.0.0.1:{self.port}")

    async def stop(self) -> None:
        await self.operator.close()
        await self.server.stop()

    async def expire(self) -> None:
        self.server.expire()

    async def remove_crd(self, plural: str) -> None:
        for namespace, name in list(self.server.objects[plural]):
            await self.operator.delete(namespace, name, plural)
        self.server.served[plural] = []

    async def install_crd(self, plural: str) -> None:
        self.server.served[plural] = ["v1beta1"] if plural == "inferenceservices" else ["v1alpha1", "v1alpha2"]

    async def reads(self) -> int:
        return len(self.server.seen)


def write_kubeconfig(path: Path, scheme: str, port: int, token: str = "admin") -> Path:
    """A kubeconfig as kubectl would have it."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": f"{scheme}://127.0.0.1:{port}", "insecure-skip-tls-verify": scheme == "https"},
            }
        ],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
