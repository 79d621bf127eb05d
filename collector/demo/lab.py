"""The whole mesh in miniature: model server, collector and Envoy, started in order and ended together."""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from collector.demo.envoy import Envoy, envoy_binary
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.parts import CollectorProcess, ModelServer
from collector.demo.ports import Ports
from collector.demo.tap_config import tap_config, tap_wasm

# The product's defaults wait for slow proxies. Here everything is near, and who looks on does not want to wait.
QUICK: Mapping[str, str] = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "5",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "5",
}
LOG_FLUSH_SECONDS = 0.2

Told = Callable[[str], None]


class Lab:
    """A context manager. Everything lives in a temporary folder and is gone afterwards, ports included.

    `tell` gets a line for each step. Entering raises MeshscribeError: a part is missing here or did not start.
    """

    def __init__(self, settings: Mapping[str, str] = QUICK, tell: Told | None = None) -> None:
        self._settings, self._tell = settings, tell
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        envoy_binary()  # fail before anything is started
        wasm = tap_wasm()
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshscribe-demo-")))
            ports = stack.enter_context(Ports())
            self._parts(ports, wasm)
            for what, part in (("the model server", self.model), ("the collector", self.collector), ("Envoy", self.envoy)):
                if self._tell is not None:
                    self._tell(f"starting {what}")
                stack.callback(part.process.stop)
                part.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _parts(self, ports: Ports, wasm: Path) -> None:
        self.model = ModelServer(ports.take(), self.folder)
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), self.folder, self._settings)
        self.admin_port, self.port = ports.take(), ports.take()
        inbound = Inbound(self.port, self.model.port, tap=tap_config())
        sidecar = Sidecar(
            self.admin_port,
            [inbound],
            self.collector.ingest_port,
            self.collector.grpc_port,
            wasm,
            log_flush_seconds=LOG_FLUSH_SECONDS,
        )
        self.envoy = Envoy(bootstrap(sidecar), self.folder)

    def check_alive(self) -> None:
        """Raises ChildError if a part has ended by itself."""
        for part in (self.model, self.collector, self.envoy):
            part.process.check()

    def seen(self, request_id: str) -> Mapping[str, Any]:
        """What the model server remembers of a request; empty if nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.model.port}/seen/{request_id}", timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError:
            return {}
