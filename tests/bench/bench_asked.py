"""How long the audit API takes while exchanges come in, and what being asked costs the ingest: one collector, SQLite or Postgres.

`python -m tests.bench asked` makes a store with MESHSCRIBE_BENCH_EXCHANGES exchanges (50,000 by default) and the most sums of usage that 31
days can have, and lets a whole collector go on with it. MESHSCRIBE_BENCH_STORE=postgres makes it a server; MESHSCRIBE_BENCH_KEEP=FOLDER
keeps it for the next run (stores.py says how it is made). Then, in turn:

- every documented filter is asked for its first page, facets, and usage of 30 days by model, MESHSCRIBE_BENCH_ROUNDS times each (10), one
  question after the other, first while nothing comes in, then while MESHSCRIBE_BENCH_RATE exchanges a second (500) do: percentiles of the
  client's waits in ms, and each question whose 95th is over what is aimed at;
- MESHSCRIBE_BENCH_SENT exchanges (5,000) come in as fast as they are acknowledged, three times alone and three times while somebody asks
  MESHSCRIBE_BENCH_ASKED questions a second (5): exchanges stored a second, the best of three, and the ratio of both.

Sender and asker share one process beside the collector.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from itertools import cycle
from random import getrandbits

import httpx

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.bench.bench_queries import COUNTED, MARKED, QUERIES
from tests.bench.inputs import make
from tests.bench.stores import STORE, Store, filled
from tests.support.witnesses import Vm

COUNT, RATE, ROUNDS, SENT, ASKED = (
    int(os.environ.get(f"MESHSCRIBE_BENCH_{name}", default))
    for name, default in (("EXCHANGES", 50_000), ("RATE", 500), ("ROUNDS", 10), ("SENT", 5_000), ("ASKED", 5))
)
PER_BATCH, SIZE = 50, 256
TRIES = 3
CALLS = b"7d2f9c3e"  # what request ids begin with (inputs.py)
WARM = 3  # questions that are not counted
PAGE_MS, FACETS_MS, USAGE_MS = 50, 300, 200  # aimed at, of 95 in 100
SETTINGS = {"MESHSCRIBE_CORRELATE__EXPECT": "tap", "MESHSCRIBE_LOG__LEVEL": "warning", "MESHSCRIBE_SERVICES__SOURCE": "none"}
PAGES = {label: ("/v1/exchanges", {**asked, "limit": "100"}) for label, asked in (QUERIES | MARKED).items()}
FACETS = {f"facets {label}": ("/v1/facets", asked) for label, asked in COUNTED.items()}
USAGE = {"usage": ("/v1/usage", {"group_by": "model", "since": "30d"})}


def run() -> dict[str, float]:
    """Figures by name."""
    with filled(COUNT) as (store, folder, took), Ports() as ports:
        for part, seconds in took.items():
            print(f"filling: {part}: {seconds:.0f} s", flush=True)
        ingest, grpc_port, audit = ports.take(), ports.take(), ports.take()
        collector = CollectorProcess(ingest, grpc_port, audit, folder, {**SETTINGS, "MESHSCRIBE_SINK__URL": store.url})
        collector.start()
        try:
            told = {f"exchanges in {STORE}": float(COUNT), **{f"filling: {part}, s": seconds for part, seconds in took.items()}}
            return {**told, **asyncio.run(_measure(ingest, audit, store))}
        finally:
            collector.process.stop()


async def _measure(ingest: int, audit: int, store: Store) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{audit}", timeout=60) as client:
        figures = {f"{name}, nothing comes in": value for name, value in (await _questions(client)).items()}
        figures |= await _while_it_comes(client, ingest, Batches(RATE * 10))
        batches, rates = Batches(SENT), {"alone": list[float](), "asked": list[float]()}
        for _ in range(TRIES):
            rates["alone"].append(await _stored_a_second(ingest, store, batches))
            asking = asyncio.create_task(_ask_on(client))
            rates["asked"].append(await _stored_a_second(ingest, store, batches))
            asking.cancel()
            await asyncio.wait({asking})
    best = {name: max(found) for name, found in rates.items()}
    return {
        **figures,
        "stored a second, alone": best["alone"],
        f"stored a second, with {ASKED} questions a second": best["asked"],
        "ratio": best["asked"] / best["alone"],
    }


async def _while_it_comes(client: httpx.AsyncClient, ingest: int, batches: Batches) -> dict[str, float]:
    sending = asyncio.create_task(_send_on(ingest, batches))
    await asyncio.sleep(1)
    figures = await _questions(client)
    assert not sending.done(), "the sender has ended"
    sending.cancel()
    await asyncio.wait({sending})
    return {f"{name}, {RATE} a second come in": value for name, value in figures.items()}


async def _questions(client: httpx.AsyncClient) -> dict[str, float]:
    took = {label: await _asked(client, *what) for label, what in {**PAGES, **FACETS, **USAGE}.items()}
    pages = [one for label in PAGES for one in took[label]]
    worst = max(PAGES, key=lambda label: _percentile(took[label], 0.95))
    facets = [one for label in FACETS for one in took[label]]
    aims = {**dict.fromkeys(PAGES, PAGE_MS), **dict.fromkeys(FACETS, FACETS_MS), **dict.fromkeys(USAGE, USAGE_MS)}
    slow = {label: slowest for label in took if (slowest := _percentile(took[label], 0.95)) > aims[label]}
    return {
        f"first pages of {len(PAGES)} filters, p50 ms": _percentile(pages, 0.5),
        f"first pages of {len(PAGES)} filters, p95 ms": _percentile(pages, 0.95),
        f"the slowest of them ({worst}), p95 ms": _percentile(took[worst], 0.95),
        "facets, p50 ms": _percentile(facets, 0.5),
        "facets, p95 ms": _percentile(facets, 0.95),
        "usage of 30 days by model, p50 ms": _percentile(took["usage"], 0.5),
        "usage of 30 days by model, p95 ms": _percentile(took["usage"], 0.95),
        **{f"over the aim of {aims[label]} ms: {label}, p95 ms": value for label, value in slow.items()},
    }


async def _asked(client: httpx.AsyncClient, path: str, asked: dict[str, str]) -> list[float]:
    took = []
    for _ in range(ROUNDS + WARM):
        began = time.perf_counter()
        answer = await client.get(path, params=asked)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (path, asked, answer.text)
    return took[WARM:]


async def _ask_on(client: httpx.AsyncClient) -> None:
    for path, asked in cycle({**PAGES, **FACETS, **USAGE}.values()):
        began = time.perf_counter()
        await client.get(path, params=asked)
        await asyncio.sleep(began + 1 / ASKED - time.perf_counter())


async def _send_on(port: int, batches: Batches) -> None:
    """At the rate, for ever."""
    while True:
        await _send(port, batches, RATE)


async def _stored_a_second(port: int, store: Store, batches: Batches) -> float:
    """From the first batch that is sent until the last exchange is stored."""
    before = await _settled(store)
    began = time.perf_counter()
    await _send(port, batches, None)
    while await store.stored(before) < batches.exchanges:
        await asyncio.sleep(0.02)
    return batches.exchanges / (time.perf_counter() - began)


async def _settled(store: Store) -> int:
    """The place of the newest exchange when nothing more comes of what was sent before."""
    found = -1
    while found != (found := await store.newest()):
        await asyncio.sleep(1)
    return found


class Batches:
    """What is sent: made once, and each time of another filter instance, with other request ids; else it would be taken for a repeat."""

    def __init__(self, count: int) -> None:
        made = make(count // PER_BATCH * PER_BATCH, SIZE, PER_BATCH * (2 * SIZE + 700))
        self.exchanges, self._made = made.exchanges, made.batches

    def anew(self) -> Iterator[bytes]:
        vm, calls = f"{getrandbits(64):016x}".encode(), f"{getrandbits(32):08x}".encode()
        return (batch.replace(Vm.name.encode(), vm).replace(CALLS, calls) for batch in self._made)


async def _send(port: int, batches: Batches, rate: float | None) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    for number, batch in enumerate(batches.anew()):
        if rate is not None:
            await asyncio.sleep(began + number * PER_BATCH / rate - time.perf_counter())
        head = f"POST /v1/tap HTTP/1.1\r\nhost: c\r\ncontent-type: application/x-protobuf\r\ncontent-length: {len(batch)}\r\n\r\n"
        writer.write(head.encode() + batch)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in answer.split(b"\r\n", 1)[0], answer
        length = next((int(line.split(b":")[1]) for line in answer.split(b"\r\n") if line.startswith(b"content-length")), 0)
        await reader.readexactly(length)
    writer.close()


def _percentile(took: list[float], share: float) -> float:
    return sorted(took)[min(int(len(took) * share), len(took) - 1)]


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:70} {value:12.2f}", flush=True)
