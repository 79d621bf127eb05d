"""What the journal and the tap receiver cost. Run alone: `python tests/bench/bench_journal.py [folder]`; the folder's disk is measured."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from collector import settings
from collector.clock import SystemClock
from collector.journal.sqlite import SqliteJournal, open_journal
from collector.messages.entry import Kind
from collector.messages.tap_pb2 import Batch
from collector.metrics import TapMetrics
from collector.receive.tap import create_ingest_app

SIZES = {"1KiB": 1 << 10, "64KiB": 1 << 16}
WAITING = (1, 16, 64)
TOTAL_BYTES = 64 << 20
MAX_ENTRIES = 8000
POSTS = 4000
CLIENTS = 16


def run(folder: str | None = None) -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return uvloop.run(_appends(Path(place))) | uvloop.run(_posts(Path(place)))


async def _open(folder: Path, name: str) -> SqliteJournal:
    return await open_journal(settings.Journal(path=folder / name), SystemClock(), 256 << 20)


async def _appends(folder: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    for label, size in SIZES.items():
        for waiting in WAITING:
            journal = await _open(folder, f"{label}-{waiting}.db")
            figures |= await _append(journal, f"journal_append_{label}_{waiting}_waiting", size, waiting)
            await journal.close()
    return figures


async def _append(journal: SqliteJournal, name: str, size: int, waiting: int) -> dict[str, float]:
    payload, count = os.urandom(size), min(MAX_ENTRIES, TOTAL_BYTES // size) // waiting

    async def appender() -> None:
        for _ in range(count):
            await journal.append(Kind.TAP, "node", payload)

    wall, loop, cpu = time.perf_counter(), time.thread_time(), time.process_time()
    await asyncio.gather(*(appender() for _ in range(waiting)))
    entries = count * waiting
    wall = time.perf_counter() - wall
    return {
        f"{name}_wall_us": wall / entries * 1e6,
        f"{name}_cpu_us": (time.process_time() - cpu) / entries * 1e6,
        f"{name}_loop_us": (time.thread_time() - loop) / entries * 1e6,
        f"{name}_MB_per_s": entries * size / wall / 1e6,
    }


class Nowhere:
    """Takes appends and keeps nothing: leaves what the receiver itself costs."""

    async def append(self, kind: Kind, source: str, payload: bytes, message: object = None, *, sender: str = "") -> int:
        return 1


def make_batch(exchanges: int) -> bytes:
    """As the filter posts: 1 KiB each way and a few headers per exchange."""
    batch = Batch(vm="00000000000000ab", sequence=1)
    batch.node.id = "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"
    for stream in range(exchanges):
        part = batch.parts.add(stream=stream, request_id=os.urandom(16), level=4)
        part.request_headers.map = bytes(700)
        part.response_headers.map = bytes(300)
        for direction in (0, 1):
            part.runs.add(direction=direction, data=os.urandom(1024), lengths=[1024], times_us=[5])  # type: ignore[arg-type]
        part.end.at_us = 100
    return batch.SerializeToString()


# Another process, so that its CPU is not counted; bare sockets, so that it leaves the machine to the receiver.
CLIENT = """
import socket, sys, threading
port, clients, posts = map(int, sys.argv[1:])
body = sys.stdin.buffer.read()
head = "POST /v1/tap HTTP/1.1\\r\\nhost: x\\r\\ncontent-type: application/x-protobuf\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body)
request, good = head.encode() + body, []
def client():
    connection = socket.create_connection(("127.0.0.1", port))
    good.append(sum(connection.sendall(request) or connection.recv(4096).startswith(b"HTTP/1.1 200") for _ in range(posts)))
threads = [threading.Thread(target=client) for _ in range(clients)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(sum(good) != clients * posts)
"""


async def _posts(folder: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    for exchanges in (1, 16):
        body = make_batch(exchanges)
        figures[f"tap_post_{exchanges}_exchanges_without_journal_cpu_us"] = await _post(Nowhere(), body)
        journal = await _open(folder, f"post-{exchanges}.db")
        figures[f"tap_post_{exchanges}_exchanges_with_journal_cpu_us"] = await _post(journal, body)
        await journal.close()
    return figures


async def _post(journal: SqliteJournal | Nowhere, body: bytes) -> float:
    """CPU µs of this process per post, from CLIENTS connections of other processes."""
    app = create_ingest_app(journal, TapMetrics(CollectorRegistry()), settings.Ingest(port=0))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    command = (sys.executable, "-c", CLIENT, str(port), str(CLIENTS), str(POSTS // CLIENTS))
    cpu = time.process_time()
    client = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    await client.communicate(body)
    cpu = time.process_time() - cpu
    server.should_exit = True
    await serving
    if client.returncode:
        raise RuntimeError("not all posts were accepted")
    return cpu / POSTS * 1e6


if __name__ == "__main__":
    print(json.dumps({name: round(value, 1) for name, value in run(*sys.argv[1:2]).items()}, indent=2))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
