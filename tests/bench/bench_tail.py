"""How long after its end a request is shown to the readers of GET /v1/tail, through a whole collector with an SQLite file.

`python -m tests.bench tail` sends MESHSCRIBE_BENCH_TAIL_RATE exchanges a second (500) for MESHSCRIBE_BENCH_TAIL_SECONDS (10), while
MESHSCRIBE_BENCH_TAIL_READERS (100) read all of them. A latency is from the moment in which the batch with an exchange was begun to be
sent, to the moment in which a reader has its event. What the tap waits until a batch is full comes before that: half a second at most, as
the filter is set by default. Sender and readers share one process beside the collector.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from pathlib import Path

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.bench.bench_collector import _cpu, _peak
from tests.bench.inputs import Input, make

PER_BATCH, SIZE = 50, 256
LEFT_OUT = re.compile(rb'data: {"count":([0-9]+),"after"')
SETTINGS = {
    "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    "MESHSCRIBE_LOG__LEVEL": "warning",
    "MESHSCRIBE_AUDIT__TAILS": "1000",
    "MESHSCRIBE_AUDIT__CLIENT_TAILS": "1000",
    "MESHSCRIBE_AUDIT__MAX_CONNECTIONS": "1100",
}


def run() -> dict[str, float]:
    """Figures by name."""
    rate, seconds, readers = (
        int(os.environ.get(f"MESHSCRIBE_BENCH_TAIL_{name}", default))
        for name, default in (("RATE", 500), ("SECONDS", 10), ("READERS", 100))
    )
    inputs = make(rate * seconds // PER_BATCH * PER_BATCH, SIZE, PER_BATCH * (2 * SIZE + 700))
    with tempfile.TemporaryDirectory() as name, Ports() as ports:
        ingest, grpc_port, audit = ports.take(), ports.take(), ports.take()
        collector = CollectorProcess(ingest, grpc_port, audit, Path(name), SETTINGS)
        collector.start()
        try:
            before, began = _cpu(collector.process.pid), time.perf_counter()
            latencies, left_out = asyncio.run(_measure(inputs, ingest, audit, rate, readers))
            cpu, wall = _cpu(collector.process.pid) - before, time.perf_counter() - began
            peak = _peak(collector.process.pid)
        finally:
            collector.process.stop()
    ordered = sorted(latencies)
    figures = {f"latency ms, p{share}": ordered[len(ordered) * share // 100] * 1000 for share in (50, 95, 99)}
    told = {"readers": readers, "exchanges a second": rate, "events that came": len(latencies), "events left out": left_out}
    return {**told, **figures, "collector's CPU, cores": cpu / wall, "memory MiB, peak": peak}


async def _measure(inputs: Input, ingest: int, audit: int, rate: int, readers: int) -> tuple[list[float], int]:
    sent: list[float] = []
    ready = [asyncio.Event() for _ in range(readers)]
    reading = []
    for one in ready:  # one after the other: a client may have no more than so many queries that wait
        reading.append(asyncio.create_task(_read(audit, inputs.exchanges, sent, one)))
        await one.wait()
    await _send(inputs, ingest, rate, sent)
    found = await asyncio.wait_for(asyncio.gather(*reading), 120)
    return [latency for latencies, _ in found for latency in latencies], sum(left_out for _, left_out in found)


async def _send(inputs: Input, port: int, rate: int, sent: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    for number, batch in enumerate(inputs.batches):
        await asyncio.sleep(began + number * PER_BATCH / rate - time.perf_counter())
        sent.append(time.perf_counter())
        head = f"POST /v1/tap HTTP/1.1\r\nhost: c\r\ncontent-type: application/x-protobuf\r\ncontent-length: {len(batch)}\r\n\r\n"
        writer.write(head.encode() + batch)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer.split(b"\r\n", 1)[0], answer
        length = int(next((line.split(b":")[1] for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")), b"0"))
        await reader.readexactly(length)
    writer.close()


async def _read(port: int, wanted: int, sent: list[float], ready: asyncio.Event) -> tuple[list[float], int]:
    """The latencies of one reader's events, and how many were left out. Events come in the order in which their batches were sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/tail HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"still here")
    await reader.readuntil(b"\n")
    ready.set()
    latencies: list[float] = []
    left_out, rest = 0, b""
    while len(latencies) + left_out < wanted:
        data = rest + await reader.read(1 << 20)
        now = time.perf_counter()
        whole = data.rfind(b"\n") + 1
        lines, rest = data[:whole], data[whole:]
        for _ in range(lines.count(b"event: exchange\n")):
            latencies.append(now - sent[(len(latencies) + left_out) // PER_BATCH])
        left_out += sum(int(told) for told in LEFT_OUT.findall(lines))
    writer.close()
    return latencies, left_out
