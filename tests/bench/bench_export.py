"""An export of many exchanges out of an SQLite file: how long it takes, what memory server and command need, and whether one that was
killed in the middle goes on to the same bytes.

`python -m tests.bench export` fills a file with MESHSCRIBE_BENCH_EXPORT exchanges (100,000; the long form is 1,000,000) and exports them to
Parquet twice: once in one go, once killed with SIGKILL when half of the parts are there, and begun again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from collector.demo.ports import Ports
from collector.store.migrate import migrate
from tests.bench.bench_collector import _peak
from tests.bench.bench_queries_file import fill

PARTS = 10
SERVER = """
import sys, uvicorn
from prometheus_client import CollectorRegistry
from collector.audit.app import create_app
from collector.clock import SystemClock
from collector.settings import Audit, Sink
from collector.store.engine import open_engine
from tests.bench.bench_queries import Healthy
app = create_app(open_engine(Sink(url=sys.argv[1])), Healthy(), CollectorRegistry(), Audit(), SystemClock())
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", lifespan="off")
"""


def run() -> dict[str, float]:
    """Figures by name."""
    count = int(os.environ.get("MESHSCRIBE_BENCH_EXPORT", "100000"))
    with tempfile.TemporaryDirectory(prefix="export-") as name, Ports() as ports:
        folder = Path(name)
        url = f"sqlite:///{folder}/events.db"
        migrate(url)
        fill(folder / "events.db", count)
        with _served(url, ports.take()) as (api, server):
            began = time.perf_counter()
            client_peak = _ended(_begun(api, folder / "whole", count))
            seconds = time.perf_counter() - began
            killed = _begun(api, folder / "killed", count)
            while not (folder / f"killed/part-{PARTS // 2:06}.parquet").exists():
                time.sleep(0.005)
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
            _ended(_begun(api, folder / "killed", count))
            server_peak = _peak(server)
        whole, again = (json.loads((folder / which / "manifest.json").read_bytes())["parts"] for which in ("whole", "killed"))
        size = sum(part["bytes"] for part in whole)
    figures = {"exchanges": float(count), "seconds": seconds, "exchanges a second": count / seconds, "Parquet MiB": size / (1 << 20)}
    return {
        **figures,
        "server MiB, peak": server_peak,
        "command MiB, peak": client_peak,
        "killed and begun again: equal": float(whole == again),
    }


@contextmanager
def _served(url: str, port: int) -> Iterator[tuple[str, int]]:
    server = subprocess.Popen([sys.executable, "-c", SERVER, url, str(port)])
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait()


def _begun(api: str, to: Path, count: int) -> subprocess.Popen[bytes]:
    options = ["export", str(to), "-f", "parquet", "--part-rows", str(-(-count // PARTS)), "--url", api]
    return subprocess.Popen([sys.executable, "-c", "from collector.cli import main; main()", *options], stderr=subprocess.DEVNULL)


def _ended(command: subprocess.Popen[bytes]) -> float:
    """The memory that it needed, in MiB."""
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    assert command.returncode == 0
    return usage.ru_maxrss / 1024
