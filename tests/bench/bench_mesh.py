"""What the tap costs whoever's traffic passes: a chat stream's times, Envoy's CPU and its latency, tapped against untapped.

Both listeners belong to the same Envoy and take turns within one run, so that a busy machine falls on both alike. Neither logs: what is
compared is the filter alone. Batches go to an Envoy that answers 200, so that no collector competes for the cores.

Plaintext shows most of what the filter costs, for TLS makes all of a request dearer; but with mTLS it also tells who called.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from collector.demo.child import Child
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.parts import ModelServer
from collector.demo.ports import Ports
from collector.demo.traffic import STREAMED, chat
from tests.bench import upstream
from tests.bench.load import Load
from tests.bench.load import run as run_load
from tests.support.certificates import Authority

CHATS = int(os.environ.get("MESHSCRIBE_BENCH_CHATS", "100"))  # of each kind
TOKENS, SECONDS_PER_TOKEN = 50, 0.004
ROUNDS = int(os.environ.get("MESHSCRIBE_BENCH_ROUNDS", "5"))
# Measured in many short pairs: what else the machine does then falls on both of a pair.
PAIRS_PER_ROUND, PAIR_SECONDS = 8, 0.5
CALM_RATE = 1000.0


class Bench(NamedTuple):
    """Ports of the listeners. `chat_*` lead to the model server, `fast_*` and with mTLS `safe_*` to the fast upstream."""

    envoy: Envoy
    chat_tapped: int
    chat_untapped: int
    fast_tapped: int
    fast_untapped: int
    safe_tapped: int
    safe_untapped: int
    caller: ssl.SSLContext  # whose certificate names a principal


def run() -> dict[str, float]:
    """Figures by name; each name says its unit."""
    with _bench() as bench:
        plain, safe = (bench.fast_tapped, bench.fast_untapped), (bench.safe_tapped, bench.safe_untapped)
        figures = {**_chats(bench), **_saturated(bench, plain, None), **_calm(bench)}
        return {**figures, **{f"mTLS: {name}": figure for name, figure in _saturated(bench, safe, bench.caller).items()}}


@contextmanager
def _bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        take = stack.enter_context(Ports()).take
        for name in ("upstream", "sidecar"):
            (folder / name).mkdir()
        fast, model = take(), ModelServer(take(), folder)
        listeners = [
            Inbound(take(), model.port, tap_config(), False, service_port=8081),
            Inbound(take(), model.port, None, False, service_port=8081),
        ]
        listeners += [Inbound(take(), fast, tap, False) for tap in (tap_config(), None, tap_config(), None)]
        sidecar = Sidecar(take(), listeners, ingest_port=fast, grpc_port=take(), wasm_file=tap_wasm())
        authority, config = Authority(folder), bootstrap(sidecar)
        server = authority.issue("server", "server.demo")
        socket = authority.transport_socket("Downstream", server, require_client_certificate=False)
        for listener in config["static_resources"]["listeners"][-2:]:
            listener["filter_chains"][0]["transport_socket"] = socket
        envoy = Envoy(config, folder / "sidecar", concurrency=1)
        for part in (model, Envoy(upstream.config(fast, take()), folder / "upstream"), envoy):
            stack.callback(part.process.stop)
            part.start()
        caller = authority.client(authority.issue("client", "spiffe://cluster.local/ns/clients/sa/chat-frontend"))
        yield Bench(envoy, *(inbound.port for inbound in listeners), caller=caller)


# -- chat streams


class Times(NamedTuple):
    """Of one stream, in seconds."""

    first: float
    gaps: list[float]


def _chats(bench: Bench) -> dict[str, float]:
    ports = (bench.chat_tapped, bench.chat_untapped)
    seen: dict[int, list[Times]] = {port: [] for port in ports}
    for number in range(CHATS + 1):
        for port in ports if number % 2 else reversed(ports):
            times = _stream(port)
            if number:  # the first warms up
                seen[port].append(times)
    figures: dict[str, float] = {}
    for what, port in (("tapped", ports[0]), ("untapped", ports[1])):
        figures[f"first token ms, {what}"] = 1000 * statistics.median(t.first for t in seen[port])
        figures[f"gap between tokens ms, {what}"] = 1000 * statistics.median(gap for t in seen[port] for gap in t.gaps)
    for what in ("first token ms", "gap between tokens ms"):
        figures[f"{what}, added"] = figures[f"{what}, tapped"] - figures[f"{what}, untapped"]
    return figures


def _stream(port: int) -> Times:
    """Ask for one chat and note when each of its events came."""
    body = chat("", TOKENS, seconds_per_token=SECONDS_PER_TOKEN, **STREAMED).body
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: iris.demo\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    arrivals: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        connection.sendall(head.encode() + body)
        while data := connection.recv(1 << 16):
            arrivals += [time.perf_counter()] * data.count(b"data: {")
    if len(arrivals) < TOKENS:
        raise RuntimeError(f"a chat of {TOKENS} tokens came as {len(arrivals)} events")
    return Times(arrivals[0] - began, [b - a for a, b in pairwise(arrivals[:TOKENS])])


# -- CPU and latency


def _saturated(bench: Bench, ports: tuple[int, int], tls: ssl.SSLContext | None) -> dict[str, float]:
    """As many requests as go through, 1 KiB each way; the CPU is Envoy's own (user and system). The ratio is the pairs' median."""
    for port in ports:
        _spent(bench.envoy.process, port, tls)  # warms up
    pairs: list[tuple[float, float]] = []
    for number in range(ROUNDS * PAIRS_PER_ROUND):
        costs = {port: _spent(bench.envoy.process, port, tls) for port in (ports if number % 2 else reversed(ports))}
        pairs.append((costs[ports[0]], costs[ports[1]]))
    tapped, untapped = (statistics.median(costs) for costs in zip(*pairs, strict=True))
    low, ratio, high = statistics.quantiles([one / other for one, other in pairs], n=4)
    return {
        "CPU µs per request, tapped": tapped,
        "CPU µs per request, untapped": untapped,
        "CPU ratio": ratio,
        "CPU ratio, lower quartile": low,
        "CPU ratio, upper quartile": high,
    }


def _spent(process: Child, port: int, tls: ssl.SSLContext | None) -> float:
    """CPU of one short load, in µs per request."""
    before = _cpu_seconds(process)
    result = run_load(Load(port, seconds=PAIR_SECONDS, connections=16 if tls else 64, tls=tls))
    if result.failed:
        raise RuntimeError(json.dumps(result.summary()))
    return 1e6 * (_cpu_seconds(process) - before) / result.answered


def _calm(bench: Bench) -> dict[str, float]:
    """The median latency at a rate that leaves the machine room."""
    ports = (bench.fast_tapped, bench.fast_untapped)
    seen: dict[int, list[float]] = {port: [] for port in ports}
    for number in range(ROUNDS * PAIRS_PER_ROUND):
        for port in ports if number % 2 else reversed(ports):
            seen[port] += run_load(Load(port, rate=CALM_RATE, seconds=PAIR_SECONDS, connections=8)).served
    tapped, untapped = (1000 * statistics.median(latencies) for latencies in seen.values())
    name = f"p50 ms at {CALM_RATE:.0f}/s"
    return {f"{name}, tapped": tapped, f"{name}, untapped": untapped, f"{name}, added": tapped - untapped}


def _cpu_seconds(process: Child) -> float:
    """All threads' time on a core, to the nanosecond: the ticks of /proc/…/stat are too coarse for a short load."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
