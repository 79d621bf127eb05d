"""Roles on a real broker: receive and process as processes of their own. CPU per exchange, and what one process role gets through.

Sender, receiver, process and broker share the machine. The backlog is what the process role alone does: consume, transform, produce.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from aiokafka import TopicPartition

from collector.journal.kafka_topic import find_raw_topic
from collector.kafka.offsets import committed
from collector.sinks.kafka import group_of
from tests.bench.bench_collector import _cpu, _peak, _send
from tests.bench.inputs import Input, make
from tests.support.cluster import Cluster, Member
from tests.support.kafka import running_broker

SETTINGS = {
    "MESHSCRIBE_LOG__LEVEL": "warning",
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "10",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "5",
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "10",
}
WAIT_SECONDS = 300.0


def run() -> dict[str, float]:
    """{figure: value}."""
    scale = float(os.environ.get("MESHSCRIBE_BENCH_SCALE", "1"))
    figures: dict[str, float] = {}
    for name, exchanges, size in (("1 KiB", 30_000, 1024), ("8 KiB", 8_000, 8192)):
        inputs = make(int(exchanges * scale), size)
        with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder) / "kafka") as broker, ExitStack() as stack:
            cluster = Cluster(broker.bootstrap, Path(folder), stack, partitions=1)
            told = measure(cluster, inputs)
        figures |= {f"{name}: {figure}": value for figure, value in told.items()}
    return figures


def measure(cluster: Cluster, inputs: Input) -> dict[str, float]:
    """Sends it all to the receiver while there is no process, then lets the process catch up."""
    receive, process = cluster.member("receive", "receive", **SETTINGS), cluster.member("process", "process", **SETTINGS)
    receive.start()
    _until(receive)
    before, began = _cpu(receive.process.pid), time.perf_counter()
    asyncio.run(_send(inputs, receive.ingest_port, receive.grpc_port))
    sent = time.perf_counter() - began
    received = _cpu(receive.process.pid) - before
    process.start()
    pid = process.process.pid
    idle = _cpu(pid)  # what it took to start
    began = time.perf_counter()
    asyncio.run(_processed(cluster, len(inputs.batches) + len(inputs.logs)))
    wall, spent = time.perf_counter() - began, _cpu(pid) - idle
    figures = {
        "receive: exchanges/s, machine shared with sender and broker": inputs.exchanges / sent,
        "receive: CPU µs per exchange": received / inputs.exchanges * 1e6,
        "process: exchanges/s from a backlog, machine shared with the broker": inputs.exchanges / wall,
        "process: CPU µs per exchange": spent / inputs.exchanges * 1e6,
        "process: exchanges/s per core": inputs.exchanges / spent,
        "process: memory MiB, peak": _peak(pid),
    }
    for member in (process, receive):
        member.process.stop()
    return figures


async def _processed(cluster: Cluster, position: int) -> None:
    """Until the place of this entry is committed with its events."""
    settings = cluster.settings
    topic = await find_raw_topic(settings)
    at, group = TopicPartition(settings.exchanges_topic, 0), group_of(topic.journal(0))
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        place = (await committed(settings, group, [at])).get(at)
        if place is not None and place.offset >= position:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"of {position} entries only these were processed within {WAIT_SECONDS:.0f} s: {place}")
        await asyncio.sleep(0.1)


def _until(member: Member) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not member.ready:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not ready: {member.components()}")
        time.sleep(0.05)
