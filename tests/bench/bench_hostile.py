"""What hostile messages cost, against ordinary ones that come by the same way: CPU and memory of a collector of their own.

Ordinary messages differ by themselves: an exchange costs much the same however few bytes it has. So a row is compared, by byte, with
small ones (an exchange with bodies of 64 bytes in each message), of which 20 times is the bound, and with large ones (as full as proxies
make them, bodies of 1 KiB). Memory is the growth of the resident set at its peak, beyond that of a collector to which nothing was sent
and GRAIN. Small ones that come one by one take less than the grain: so it is compared with whatever takes most of these, large ones, and as
many small ones as a hostile message holds, in full messages. Compressed messages are compared twice: by what they are decompressed, and by
what was sent (wire). A message that is refused counts with what the refusal cost.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import uvloop

from collector.demo.child import ChildError
from collector.demo.ports import Ports
from tests.bench import hostile_inputs
from tests.bench.hostile_inputs import HOSTILE, Kind, Row, crowd, few, many
from tests.fuzz.bed import checkpointed, send, tell_and_see
from tests.fuzz.target import Collector, peak_bytes, status_bytes

GRAIN = 8 << 20  # what an allocator keeps, whatever came
FORGET_SECONDS, PACE_SECONDS = 4.0, 0.25  # equally much in each row
FILLED_AT_ONCE = 10  # the journal holds what no checkpoint covers
SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "1",
    "MESHSCRIBE_CORRELATE__IDLE_SECONDS": "2",
    "MESHSCRIBE_CORRELATE__LATE_SECONDS": "2",
    "MESHSCRIBE_LOG__LEVEL": "warning",
}
RULES = {
    "MESHSCRIBE_REDACTION__PATHS": '["user", "messages[*].content", "..name"]',
    "MESHSCRIBE_REDACTION__PATTERNS": r'["\\b[0-9]{13,16}\\b"]',
}


class Cost(NamedTuple):
    """Of one row. `visible`: seconds until a neighbour's exchange, sent behind it, was stored."""

    row: Row
    cpu_us: float
    peak: int
    remains: int
    visible: float
    refused: int  # posts

    def beyond(self, quiet: Cost) -> Cost:
        """What is left when a quiet collector's is taken off."""
        return self._replace(
            cpu_us=max(0.0, self.cpu_us - quiet.cpu_us),
            peak=max(0, self.peak - quiet.peak - GRAIN),
            remains=max(0, self.remains - quiet.remains - GRAIN),
        )


class Rates(NamedTuple):
    """What ordinary messages of a kind take for each byte: CPU in µs, of small and of large ones, and memory at its peak."""

    small_us: float
    large_us: float
    memory: float

    @classmethod
    def of(cls, small: Cost, large: Cost, *others: Cost, size: Callable[[Row], int]) -> Rates:
        memory = max(1.0, *(cost.peak / size(cost.row) for cost in (small, large, *others)))
        return cls(small.cpu_us / size(small.row), large.cpu_us / size(large.row), memory)

    def told(self, kind: str) -> dict[str, float]:
        return {
            f"ordinary, {kind}: µs per byte, small": self.small_us,
            f"ordinary, {kind}: µs per byte, large": self.large_us,
            f"ordinary, {kind}: bytes of memory per byte, peak": self.memory,
        }

    def times(self, cost: Cost, size: Callable[[Row], int]) -> Times:
        bytes_ = size(cost.row)
        return Times(cost.cpu_us / bytes_ / self.small_us, cost.cpu_us / bytes_ / self.large_us, cost.peak / bytes_ / self.memory)


class Times(NamedTuple):
    """A cost as multiples of the ordinary. `cpu`: of small messages."""

    cpu: float
    cpu_of_large: float
    memory: float

    def told(self, by: str) -> dict[str, float]:
        return {
            f"CPU per {by}, times small ordinary ones'": self.cpu,
            f"CPU per {by}, times large ordinary ones'": self.cpu_of_large,
            f"memory per {by}, times the ordinary's": self.memory,
        }


def by_byte(row: Row) -> int:
    return row.bytes


def by_wire(row: Row) -> int:
    return row.wire


def run() -> dict[str, float]:
    """{figure: value}."""
    quiet = measure(hostile_inputs.quiet())
    ordinary = {kind: tuple(measure(make(kind)).beyond(quiet) for make in (few, many, crowd)) for kind in Kind}
    rates = {kind: Rates.of(*costs, size=by_byte) for kind, costs in ordinary.items()}
    wire = Rates.of(*ordinary[Kind.PACKED][:2], size=by_wire)  # without the crowd, which can be compressed more than what anybody sends
    figures = {figure: value for kind in Kind for figure, value in rates[kind].told(kind).items()} | wire.told("compressed, sent")
    worst = dict.fromkeys(("byte", "wire byte"), Times(0, 0, 0))
    ended = 0
    with ThreadPoolExecutor(2) as pool:
        costs = list(pool.map(lambda make: _measured(make()), HOSTILE.values()))
    for name, cost in zip(HOSTILE, costs, strict=True):
        if cost is None:
            figures[f"{name}: ended or hung the collector"] = 1.0
            ended += 1
            continue
        cost = cost.beyond(quiet)
        kind = cost.row.kind
        times = {"byte": rates[kind].times(cost, by_byte)}
        times["wire byte"] = wire.times(cost, by_wire) if kind is Kind.PACKED else times["byte"]
        worst = {by: Times(*(max(pair) for pair in zip(worst[by], times[by], strict=True))) for by in worst}
        shown = {by: one for by, one in times.items() if by == "byte" or kind is Kind.PACKED}
        figures |= {f"{name}: {figure}": value for figure, value in _told(cost, shown).items()}
    told = {f"worst: {figure}": value for by, times_ in worst.items() for figure, value in times_.told(by).items()}
    return {**figures, **told, "rows that ended or hung the collector": float(ended)}


def _told(cost: Cost, times: dict[str, Times]) -> dict[str, float]:
    return {
        "µs per wire byte": cost.cpu_us / cost.row.wire,
        "µs per byte": cost.cpu_us / cost.row.bytes,
        **{figure: value for by, one in times.items() for figure, value in one.told(by).items()},
        "MiB, peak": cost.peak / (1 << 20),
        "MiB, remains": cost.remains / (1 << 20),
        "seconds until the neighbour was stored": cost.visible,
        "share of posts refused": cost.refused / max(1, len(cost.row.posts)),
    }


def _measured(row: Row) -> Cost | None:
    try:
        return measure(row)
    except (AssertionError, ChildError, TimeoutError, OSError) as error:
        print(f"{type(error).__name__}: {str(error)[:500]}", file=sys.stderr)
        return None


def measure(row: Row) -> Cost:
    """Sends it to a collector that is warm."""
    settings = {**SETTINGS, **(RULES if row.kind is Kind.RULES else {})}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        collector = Collector(Path(folder), stack.enter_context(Ports()), settings)
        stack.callback(collector.abandon)
        collector.start()
        return uvloop.run(_measure(collector, row))


async def _measure(collector: Collector, row: Row) -> Cost:
    await _warm(collector)
    pid = collector.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
    before, cpu = status_bytes(pid, "VmRSS"), _cpu(pid)
    statuses = await send(collector, row.posts, row.logs)
    began = time.monotonic()
    await tell_and_see(collector, "behind")
    visible = time.monotonic() - began
    await checkpointed(collector)
    await _forget(collector)
    spent = _cpu(pid) - cpu
    refused = sum(status != 200 for status in statuses)
    return Cost(row, spent * 1e6, peak_bytes(pid) - before, status_bytes(pid, "VmRSS") - before, visible, refused)


async def _warm(collector: Collector) -> None:
    """Each way is gone once, a checkpoint's too, and the stores' page caches are full: they have a bound, whatever comes."""
    await send(collector, many(Kind.TAP).posts[:2], many(Kind.LOG).logs[:2])
    for number, (post, log) in enumerate(zip(*hostile_inputs.filling(), strict=True), 1):
        await send(collector, [post], [log])
        if not number % FILLED_AT_ONCE:
            await checkpointed(collector)
    await _forget(collector)


async def _forget(collector: Collector) -> None:
    """Lets the time pass in which it may remember, and something come in behind it."""
    ends = time.monotonic() + FORGET_SECONDS
    number = 0
    while time.monotonic() < ends:
        number += 1
        await tell_and_see(collector, f"later{number}")
        await asyncio.sleep(PACE_SECONDS)


def _cpu(pid: int) -> float:
    """Seconds of all its threads."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
