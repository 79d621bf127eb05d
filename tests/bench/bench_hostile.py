"""What hostile messages cost, against ordinary ones of the same number and size: CPU and memory of a collector of their own.

Both count beyond what the same steps take without any message ("nothing").

`times`: the CPU as a multiple of what ordinary messages take, of which so much is for each post and so much for each byte (decompressed);
the bound is 20. Memory is the growth of the resident set at its peak and when all should be forgotten. A message that is
refused counts with what the refusal cost.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import uvloop

from collector.demo.child import ChildError
from collector.demo.ports import Ports
from tests.bench.hostile_inputs import HOSTILE, Row, large, nothing, packed, small
from tests.fuzz.bed import checkpointed, send, tell_and_see
from tests.fuzz.target import Collector, peak_bytes, status_bytes

GRAIN = 8 << 20  # what an allocator keeps, at the least
FORGET_SECONDS = 5.0
SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "1",
    "MESHSCRIBE_CORRELATE__IDLE_SECONDS": "2",
    "MESHSCRIBE_CORRELATE__LATE_SECONDS": "2",
    "MESHSCRIBE_LOG__LEVEL": "warning",
}
_TICK = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Of one row. `visible`: seconds until a neighbour's exchange, sent behind it, was stored."""

    row: Row
    cpu_us: float
    peak: int
    remains: int
    visible: float
    refused: int  # posts


def run() -> dict[str, float]:
    """{figure: value}."""
    rows = {"nothing": nothing, "large": large, "small": small, "packed": packed, **HOSTILE}
    with ThreadPoolExecutor(2) as pool:
        costs = dict(zip(rows, pool.map(lambda make: _measured(make()), rows.values()), strict=True))
    idle = _survived(costs["nothing"])
    costs = {name: cost and cost._replace(cpu_us=max(0.0, cost.cpu_us - idle.cpu_us)) for name, cost in costs.items()}
    large_cost, small_cost, packed_cost = (_survived(costs[name]) for name in ("large", "small", "packed"))
    per_post, per_byte = _ordinary(small_cost, large_cost)
    grain = max(GRAIN, idle.peak * 5 // 4)
    memory = max(1.0, max(0, large_cost.peak - grain) / large_cost.row.bytes)
    figures = {
        "ordinary: µs per post": per_post,
        "ordinary: µs per byte": per_byte,
        "ordinary, compressed: µs per wire byte": packed_cost.cpu_us / packed_cost.row.wire,
        "ordinary: bytes of memory per byte, peak": memory,
    }
    worst, ended = 0.0, 0
    for name in HOSTILE:
        cost = costs[name]
        if cost is None:
            figures[f"{name}: ended or hung the collector"] = 1.0
            ended += 1
            continue
        times = cost.cpu_us / (per_post * cost.row.messages + per_byte * cost.row.bytes)
        held = max(0, cost.peak - grain) / cost.row.bytes / memory
        figures |= {f"{name}: {figure}": value for figure, value in _told(cost, times, held).items()}
        worst = max(worst, times, held)
    return {**figures, "worst, times the ordinary's": worst, "rows that ended or hung the collector": float(ended)}


def _told(cost: Cost, times: float, held: float) -> dict[str, float]:
    return {
        "µs per wire byte": cost.cpu_us / cost.row.wire,
        "µs per byte": cost.cpu_us / cost.row.bytes,
        "CPU, times the ordinary's": times,
        "MiB, peak": cost.peak / (1 << 20),
        "MiB, remains": cost.remains / (1 << 20),
        "memory per byte, times the ordinary's": held,
        "seconds until the neighbour was stored": cost.visible,
        "share of posts refused": cost.refused / max(1, len(cost.row.posts)),
    }


def _survived(cost: Cost | None) -> Cost:
    if cost is None:
        raise RuntimeError("ordinary messages ended or hung the collector")
    return cost


def _measured(row: Row) -> Cost | None:
    try:
        return measure(row)
    except (AssertionError, ChildError, TimeoutError, OSError):
        return None


def measure(row: Row) -> Cost:
    """Sends it to a collector that is warm."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        collector = Collector(Path(folder), stack.enter_context(Ports()), SETTINGS)
        stack.callback(collector.abandon)
        collector.start()
        return uvloop.run(_measure(collector, row))


async def _measure(collector: Collector, row: Row) -> Cost:
    warm = large()
    await send(collector, warm.posts[:8], ())
    await tell_and_see(collector, "warm")
    pid = collector.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
    before, cpu = status_bytes(pid, "VmRSS"), _cpu(pid)
    statuses = await send(collector, row.posts, row.logs)
    began = time.monotonic()
    await tell_and_see(collector, "behind")
    visible = time.monotonic() - began
    await checkpointed(collector)
    await _forget(collector)  # what lingers costs when it is closed
    spent = _cpu(pid) - cpu
    refused = sum(status != 200 for status in statuses)
    return Cost(row, spent * 1e6, peak_bytes(pid) - before, status_bytes(pid, "VmRSS") - before, visible, refused)


async def _forget(collector: Collector) -> None:
    """Lets the time pass in which it may remember, and something come in behind it."""
    ends = time.monotonic() + FORGET_SECONDS
    number = 0
    while time.monotonic() < ends:
        number += 1
        await tell_and_see(collector, f"later{number}")
        await asyncio.sleep(0.5)


def _ordinary(few: Cost, many: Cost) -> tuple[float, float]:
    """(µs per post, µs per byte) that explain both."""
    a, b, c, d = few.row.messages, few.row.bytes, many.row.messages, many.row.bytes
    per_byte = max(1e-3, (many.cpu_us - few.cpu_us * c / a) / (d - b * c / a))
    return max(0.0, (few.cpu_us - per_byte * b) / a), per_byte


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
