"""The rendered manifests and the mesh's configuration as the lints see them, and a way to break a copy of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Document = dict[str, Any]
DELETE = object()
DOMAIN = "svc.cluster.local"


@dataclass(frozen=True)
class Service:
    """A name that proxies can call: `ports` are names by number, `targets` the pods' ports by number (a number or a name)."""

    namespace: str
    host: str
    ports: dict[int, str]
    targets: dict[int, int | str]


@dataclass(frozen=True)
class World:
    """Everything that is applied together. `wasm_sha256` is the checksum of tap.wasm, if it is known."""

    documents: list[Document]
    mesh_config: Document
    wasm_sha256: str | None = None

    def of(self, *kinds: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] in kinds]

    def services(self) -> dict[str, Service]:
        """By host, from Service and ServiceEntry."""
        found = [_service(document) for document in self.of("Service")]
        found += [_entry(document, host) for document in self.of("ServiceEntry") for host in document["spec"]["hosts"]]
        return {service.host: service for service in found}

    def plugins(self) -> Iterator[tuple[str, Document]]:
        """Name and Wasm settings of every WasmPlugin and TrafficExtension."""
        for document in self.of("WasmPlugin"):
            yield name_of(document), document["spec"]
        for document in self.of("TrafficExtension"):
            yield name_of(document), document["spec"].get("wasm", {})

    def pod(self) -> Document:
        """The collector's pod template."""
        (deployment,) = self.of("Deployment")
        template: Document = deployment["spec"]["template"]
        return template

    def broken(self, document: str, path: str, value: Any) -> World:
        """A copy in which one value of `Kind/name` is another (or gone: DELETE). Steps of the path are joined by dots."""
        documents = copy.deepcopy(self.documents)
        (target,) = [d for d in documents if name_of(d) == document]
        change(target, path, value)
        return replace(self, documents=documents)

    def misconfigured(self, path: str, value: Any) -> World:
        """A copy in which one value of the mesh's configuration is another."""
        mesh_config = copy.deepcopy(self.mesh_config)
        change(mesh_config, path, value)
        return replace(self, mesh_config=mesh_config)

    def with_document(self, document: Document) -> World:
        """A copy in which the document stands in place of the one of the same kind and name, or is one more."""
        others = [d for d in self.documents if identity(d) != identity(document)]
        return replace(self, documents=[*others, document])


def name_of(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def identity(document: Document) -> tuple[str, str | None]:
    return name_of(document), document["metadata"].get("namespace")


def change(target: Any, path: str, value: Any) -> None:
    *steps, last = [int(step) if step.isdigit() else step.replace("~", ".") for step in path.split(".")]
    for step in steps:
        target = target[step]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value


def _service(document: Document) -> Service:
    name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
    ports = document["spec"]["ports"]
    return Service(
        namespace,
        f"{name}.{namespace}.{DOMAIN}",
        {port["port"]: port["name"] for port in ports},
        {port["port"]: port.get("targetPort", port["port"]) for port in ports},
    )


def _entry(document: Document, host: str) -> Service:
    ports = document["spec"]["ports"]
    return Service(
        document["metadata"]["namespace"],
        host,
        {port["number"]: port["name"] for port in ports},
        {port["number"]: port.get("targetPort", port["number"]) for port in ports},
    )
