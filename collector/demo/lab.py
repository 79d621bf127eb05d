"""The whole mesh in miniature: model server, store, collector and two proxies, started in order and ended together."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from collector.demo.audit import Json
from collector.demo.envoy import Envoy, envoy_binary
from collector.demo.envoy_config import CHAT_CLUSTER, COST_CENTER, GATEWAY, WORKLOADS, Inbound, Sidecar, Workload, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.part import Part, process
from collector.demo.parts import ModelServer
from collector.demo.ports import Ports
from collector.demo.stores import OPEN, SQLITE

# The product's defaults wait for slow proxies. Here everything is near, and who looks on does not want to wait.
QUICK: Mapping[str, str] = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "5",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "5",
}
LOG_FLUSH_SECONDS = 0.2
GATEWAY_TAP = {"max_age_ms": 2000}  # so that a collector that is away for longer loses something, to look at

Told = Callable[[str], None]


class Proxy(NamedTuple):
    """An Envoy beside one of the services."""

    envoy: Envoy
    port: int
    admin_port: int


class Lab:
    """A context manager. Everything lives in a temporary folder and is gone afterwards, ports included.

    `tell` gets a line for each step. Entering raises MeshscribeError: a part is missing here or did not start.
    """

    def __init__(self, store: str = SQLITE, settings: Mapping[str, str] = QUICK, tell: Told | None = None) -> None:
        self._store, self._settings = store, settings
        self._tell: Told = tell or (lambda _: None)
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        envoy_binary()  # fail before anything is started
        wasm = tap_wasm()
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshscribe-demo-", ignore_cleanup_errors=True)))
            ports = stack.enter_context(Ports())
            self._parts = list(self._made(ports, wasm))
            for part in self._parts:
                self._tell(part.what)
                stack.callback(part.stop)
                part.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _made(self, ports: Ports, wasm: Path) -> Iterator[Part]:
        """Every part in the order of starting."""
        self.services = self.folder / "services.yaml"
        shutil.copyfile(Path(__file__).parent / "services.yaml", self.services)
        self._model = ModelServer(ports.take(), self.folder)
        self.store = OPEN[self._store](ports, self.folder, {**_services(self.services), **self._settings}, self._tell)
        self.envoys = {name: self._envoy(ports, wasm, name, workload, self._model.port) for name, workload in WORKLOADS.items()}
        self.gateway = self._envoy(ports, wasm, "gateway", GATEWAY, self.envoys["chat"].port, gateway=True)
        yield process("starting the model server", self._model.start, self._model.process)
        yield from self.store.before
        yield process("starting the collector", self.store.collector.start, self.store.collector.process)
        yield from self.store.beside
        for name, proxy in self.envoys.items():
            yield process(f"starting the Envoy of {name}", proxy.envoy.start, proxy.envoy.process)
        yield process("starting the Envoy of the gateway", self.gateway.envoy.start, self.gateway.envoy.process)

    def _envoy(self, ports: Ports, wasm: Path, name: str, workload: Workload, upstream: int, gateway: bool = False) -> Proxy:
        collector, admin_port, port = self.store.collector, ports.take(), ports.take()
        inbound = Inbound(port, upstream, tap=tap_config())
        if gateway:
            inbound = Inbound(port, upstream, tap=tap_config(**GATEWAY_TAP), cluster=CHAT_CLUSTER)
        sidecar = Sidecar(
            admin_port,
            [inbound],
            collector.ingest_port,
            collector.grpc_port,
            wasm,
            workload,
            log_flush_seconds=LOG_FLUSH_SECONDS,
        )
        folder = self.folder / f"envoy-{name}"
        folder.mkdir()
        return Proxy(Envoy(bootstrap(sidecar), folder), port, admin_port)

    @property
    def proxy_ports(self) -> dict[str, int]:
        """Where requests go in: the listener of each service's proxy."""
        return {name: proxy.port for name, proxy in self.envoys.items()}

    def check_alive(self) -> None:
        """Raises ChildError if a part has ended by itself."""
        for part in self._parts:
            part.check()

    def seen(self, request_id: str) -> Json:
        """What the model server remembers of a request; empty if nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._model.port}/seen/{request_id}", timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError:
            return {}


def _services(file: Path) -> dict[str, str]:
    """Settings: services come from the file, and what is billed by is copied."""
    return {
        "MESHSCRIBE_SERVICES__SOURCE": "file",
        "MESHSCRIBE_SERVICES__FILE": str(file),
        "MESHSCRIBE_SERVICES__ANNOTATIONS": json.dumps(["billing.example.com/*"]),
        "MESHSCRIBE_USAGE__GROUP_ANNOTATIONS": json.dumps([COST_CENTER]),
    }
