"""A relay to a receiver that fails in six ways (tests/support/faulty_receiver.py): events per second, as parts of what a sound one takes.

The bound is half of what gets through: (1 - share) / 2. A request that is not answered costs the relay's whole timeout, 50 ms here.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

from collector.store.migrate import migrate
from tests.support.events import exchanges
from tests.support.faulty_receiver import FaultyEnd
from tests.support.relays import Letters, SqlOrigin, relay, running

EXCHANGES = 600
SHARES = (0.1, 0.3, 0.6)


def run() -> dict[str, float]:
    """{figure: value}; `of the bound` is 1 or more where the bound holds."""
    figures: dict[str, float] = {}
    for mode in ("binary", "batch"):
        sound = asyncio.run(_rate(mode, 0.0))
        figures[f"{mode}: events/s, no faults"] = sound
        for share in SHARES:
            ratio = asyncio.run(_rate(mode, share)) / sound
            figures[f"{mode}, {share:.0%} faults: part of that"] = ratio
            figures[f"{mode}, {share:.0%} faults: of the bound"] = ratio / ((1 - share) / 2)
    return figures


async def _rate(mode: str, share: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'events.db'}"
        await asyncio.to_thread(migrate, url)
        origin, end = SqlOrigin(url), FaultyEnd(mode, share, random.Random(share))
        await origin.fill("j", list(exchanges(EXCHANGES)))
        await end.mend()
        async with relay(origin, end, Letters()) as copying:
            began = time.perf_counter()
            async with running(copying):
                while len(set(end.receiver.ids)) < EXCHANGES:
                    await asyncio.sleep(0.005)
            rate = EXCHANGES / (time.perf_counter() - began)
        await end.close()
    return rate
