"""What the fault tests stand on: a sidecar's Envoy under load in front of a fast upstream, and a collector to torment."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from collector.demo.audit import Audit
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.parts import CollectorProcess, ModelServer
from collector.demo.ports import Ports
from collector.messages.completeness import Completeness
from tests.bench import upstream
from tests.bench.load import Generator, Load, Result
from tests.support.endpoints import Endpoints, Json

SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "10",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "1",
}
WORKERS = 2


class Running:
    """Loads that run side by side in a thread."""

    def __init__(self, loads: Sequence[Load]) -> None:
        self._generators = [Generator(load) for load in loads]
        self.results: list[Result] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        async def together() -> list[Result]:
            return await asyncio.gather(*(generator.run() for generator in self._generators))

        self.results = uvloop.run(together())

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, seconds: float = 300.0) -> list[Result]:
        self._thread.join(seconds)
        assert self.ended, "the load did not end"
        return self.results


class Rig:
    """Ports: `tapped` and `untapped` lead to the fast upstream, `large` (tapped) to the model server."""

    def __init__(self, folder: Path, stack: ExitStack, cluster: Callable[[Path, Json], Endpoints] | None = None, **tap: Any) -> None:
        """`cluster` makes the access log's cluster one whose endpoints change, or whose hosts are ejected (support/endpoints.py)."""
        self._folder = folder
        take = stack.enter_context(Ports()).take
        fast, self.tapped, self.untapped, self.large = take(), take(), take(), take()
        for name in ("upstream", "sidecar"):
            (folder / name).mkdir()
        self.collector = CollectorProcess(take(), take(), take(), folder, SETTINGS)
        self.model = ModelServer(take(), folder)
        self.upstream = Envoy(upstream.config(fast, take()), folder / "upstream")
        filters = tap_config(**tap)
        listeners = [
            Inbound(self.tapped, fast, filters),
            Inbound(self.untapped, fast, access_log=False),
            Inbound(self.large, self.model.port, filters, service_port=8081),
        ]
        sidecar = Sidecar(take(), listeners, self.collector.ingest_port, self.collector.grpc_port, tap_wasm())
        config = bootstrap(sidecar)
        self.endpoints = cluster(folder, config) if cluster is not None else None
        self.envoy = Envoy(config, folder / "sidecar", WORKERS)
        for part in (self.model, self.collector, self.upstream, self.envoy):
            stack.callback(part.process.stop)
            part.start()
        self.audit = stack.enter_context(closing(Audit(self.collector.url)))

    def load(self, *loads: Load) -> Running:
        """Start loads."""
        return Running(loads)

    def settle(self) -> int:
        """A few requests on connections of their own, so that every worker's filter speaks once more. Returns how many."""
        return Running([Load(self.tapped, requests=32, rate=200, connections=32, prefix=f"settle{time.monotonic_ns()}")]).wait()[0].answered

    @contextmanager
    def store(self) -> Iterator[sqlite3.Connection]:
        """The store's file, read-only."""
        with closing(sqlite3.connect(f"file:{self._folder / 'events.db'}?mode=ro", uri=True, timeout=30)) as connection:
            yield connection

    def recorded(self, prefix: str = "") -> dict[str, Completeness]:
        """Request id → completeness of its exchange, newest revision. Raises AssertionError if a request has two exchanges."""
        with self.store() as connection:
            rows = connection.execute(
                "SELECT request_id, completeness FROM exchanges WHERE NOT superseded AND request_id LIKE ? || '%'", (prefix,)
            ).fetchall()
        twice = [request_id for request_id, times in Counter(row[0] for row in rows).items() if times > 1]
        assert not twice, f"{len(twice)} requests are stored as more than one exchange, e.g. {twice[:5]}"
        return {request_id: Completeness(flags) for request_id, flags in rows}

    def ledger(self) -> Mapping[str, Any]:
        """The sum of all windows."""
        return self.audit.totals()

    def rss_bytes(self) -> int:
        """Envoy's resident memory."""
        pages = int(Path(f"/proc/{self.envoy.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
