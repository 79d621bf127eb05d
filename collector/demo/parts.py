"""The parts of the demo as processes: the model server and the collector, each started and awaited."""

from __future__ import annotations

import socket
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from collector.demo.child import Child

START_SECONDS = 60.0  # a busy machine, and a consumer group to join


def answers(url: str) -> bool:
    """Whether a GET of the URL gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class ModelServer:
    """The model server (model_server.py) on the given port."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        command = [sys.executable, "-m", "collector.demo.model_server", "--port", str(port)]
        self.process = Child("the model server", command, folder / "model-server.log")

    def start(self) -> None:
        self.process.start(lambda: answers(f"http://127.0.0.1:{self.port}/status?code=200"))


class CollectorProcess:
    """`meshscribe serve` with its data in `folder`, on ports that it keeps over restarts. `settings` are environment variables."""

    def __init__(self, ingest: int, grpc: int, audit: int, folder: Path, settings: Mapping[str, str], role: str = "all") -> None:
        self.ingest_port, self.grpc_port, self.audit_port = ingest, grpc, audit
        self.url = f"http://127.0.0.1:{audit}"
        environment = {
            "MESHSCRIBE_INGEST__PORT": str(ingest),
            "MESHSCRIBE_INGEST__GRPC_PORT": str(grpc),
            "MESHSCRIBE_AUDIT__PORT": str(audit),
            "MESHSCRIBE_JOURNAL__PATH": str(folder / "journal.db"),
            "MESHSCRIBE_SINK__URL": f"sqlite:///{folder / 'events.db'}",
            **settings,
        }
        command = [str(Path(sysconfig.get_path("scripts")) / "meshscribe"), "serve", "--role", role]
        name, log = ("the collector", "collector.log") if role == "all" else (f"role {role}", f"{role}.log")
        self.process = Child(name, command, folder / log, environment)

    def start(self) -> None:
        """Returns when it is ready and listens to proxies, if it does. Raises ChildError with its log if it does not get there."""
        self.process.start(self._ready, START_SECONDS)

    def _ready(self) -> bool:
        return answers(f"{self.url}/readyz") and (self.ingest_port == 0 or listens(self.ingest_port))
