"""A receiver that fails now and then, in six ways: every event arrives, in order, and what got through is not waited for again.

How fast a relay is under faults is told by what its tries cost, not by a clock.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from collector.relays.relay import Relay
from collector.store.migrate import migrate
from tests.support.events import exchanges
from tests.support.faulty_receiver import FAULTS, FaultyEnd
from tests.support.relays import Letters, SqlOrigin, relay, running
from tests.support.waits import until_holds

EXCHANGES = 150
TRIES_PER_EVENT = {0.1: 1.25, 0.3: 1.75, 0.6: 3.4}  # 1 / (1 - share), and what chance adds to it
WAITED_PER_FAULT = 0.01  # seconds between tries, of a relay that gets on


@pytest.mark.parametrize(
    ("share", "mode"),
    [
        pytest.param(share, mode, marks=[] if mode == "batch" else pytest.mark.slow)  # of which few requests hold all
        for share in TRIES_PER_EVENT
        for mode in ("binary", "structured", "batch")
    ],
)
async def test_a_share_of_faults_of_six_kinds_costs_tries_and_no_event(
    tmp_path: Path, mode: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    wait_out = Relay._wait_out

    async def counted(made: Relay, seconds: float) -> None:
        waited.append(seconds)
        await wait_out(made, min(seconds, 0.01))

    monkeypatch.setattr(Relay, "_wait_out", counted)
    url = f"sqlite:///{tmp_path / 'events.db'}"
    await asyncio.to_thread(migrate, url)
    origin, end = SqlOrigin(url), FaultyEnd(mode, share, random.Random(share))
    await origin.fill("j", list(exchanges(EXCHANGES)))
    await end.mend()
    async with relay(origin, end, Letters()) as copying, running(copying):
        await until_holds(lambda: len(set(end.receiver.ids)) >= EXCHANGES and copying.status.lag == 0)
    order = list(dict.fromkeys(end.receiver.ids))
    assert order == sorted(order)
    assert len(order) == EXCHANGES
    requests, faults = end.receiver.requests_seen, sum(end.receiver.met.values())
    needed = requests - faults
    assert mode == "batch" or set(end.receiver.met) == set(FAULTS), end.receiver.met
    assert requests <= needed * TRIES_PER_EVENT[share] + 8, f"{requests} requests, {faults} of them in vain"
    # All faults may wait at once, but for those that ask for it (Retry-After: 0 here) or do not answer, which the receiver decides.
    assert sum(waited) <= WAITED_PER_FAULT * faults + 0.1, f"{sum(waited):.2f} s were waited for {faults} faults"
    await end.close()
