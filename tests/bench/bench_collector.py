"""The collector end to end: its own process, HTTP and gRPC in, SQLite out. Exchanges per second, CPU per exchange, memory.

The CPU is also told as a multiple of what a bare loop takes on the same machine (tests/bench/bare.py).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.bench import bare
from tests.bench.inputs import Input, make

SETTINGS = {"MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "5", "MESHSCRIBE_LOG__LEVEL": "warning"}
_TICK = os.sysconf("SC_CLK_TCK")


def run() -> dict[str, float]:
    """{figure: value}; `per core` = 1e6 / CPU µs."""
    figures: dict[str, float] = {}
    scale = float(os.environ.get("MESHSCRIBE_BENCH_SCALE", "1"))
    for name, exchanges, size in (("1 KiB", 30_000, 1024), ("8 KiB", 8_000, 8192)):
        made = make(int(exchanges * scale), size)
        told = measure(made, {})
        told["CPU, times a bare loop's"] = told["CPU µs per exchange"] / bare.cpu_us(made)
        figures |= {f"{name}: {figure}": value for figure, value in told.items()}
    inputs = make(int(80_000 * scale), 16)._replace(batches=[])
    told = measure(inputs, {"MESHSCRIBE_CORRELATE__EXPECT": "access_log"})
    figures |= {f"access log only: {figure}": value for figure, value in told.items()}
    return figures


def measure(inputs: Input, settings: dict[str, str]) -> dict[str, float]:
    """Sends it all as fast as the collector takes it, and waits until it is stored."""
    with tempfile.TemporaryDirectory() as name, Ports() as ports:
        folder = Path(name)
        ingest, grpc_port, audit = ports.take(), ports.take(), ports.take()
        collector = CollectorProcess(ingest, grpc_port, audit, folder, {**SETTINGS, **settings})
        collector.start()
        try:
            pid = collector.process.pid
            before, began = _cpu(pid), time.perf_counter()
            asyncio.run(_send(inputs, ingest, grpc_port))
            sent = time.perf_counter() - began
            _wait(folder / "events.db", inputs.exchanges)
            wall, cpu = time.perf_counter() - began, _cpu(pid) - before
            sent_bytes = sum(map(len, inputs.batches)) + sum(map(len, inputs.logs))
            return {
                "exchanges/s, machine shared with the sender": inputs.exchanges / wall,
                "CPU µs per exchange": cpu / inputs.exchanges * 1e6,
                "exchanges/s per core": inputs.exchanges / cpu,
                "journal MB/s while sending": sent_bytes / sent / 1e6,
                "memory MiB, peak": _peak(pid),
            }
        finally:
            collector.process.stop()


async def _send(inputs: Input, port: int, grpc_port: int) -> None:
    batches = list(reversed(inputs.batches))
    await asyncio.gather(*(_post(batches, port) for _ in range(4)), _log(inputs.logs, grpc_port))


async def _post(batches: list[bytes], port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while batches:
        batch = batches.pop()
        head = f"POST /v1/tap HTTP/1.1\r\nhost: c\r\ncontent-type: application/x-protobuf\r\ncontent-length: {len(batch)}\r\n\r\n"
        writer.write(head.encode() + batch)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(answer.decode())
    writer.close()


async def _log(logs: list[bytes], port: int) -> None:
    async def messages() -> AsyncIterator[bytes]:
        for message in logs:
            yield message

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_unary("/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs")
        await call(messages())


def _wait(path: Path, exchanges: int) -> None:
    connection = sqlite3.connect(path)
    deadline = time.monotonic() + 300
    while (stored := connection.execute("SELECT COUNT(*) FROM exchanges").fetchone()[0]) < exchanges:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {stored} of {exchanges} exchanges were stored")
        time.sleep(0.02)
    connection.close()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
