"""A receiver that fails now and then: every event arrives, in order, and what got through is not waited for again."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from collector.store.migrate import migrate
from tests.support.events import exchanges
from tests.support.relays import HttpEnd, Letters, SqlOrigin, relay, running, until

EXCHANGES = 60


@pytest.mark.parametrize("mode", ["binary", "structured", "batch"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
async def test_a_share_of_faults_costs_tries_and_no_event(tmp_path: Path, mode: str, share: float) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    await asyncio.to_thread(migrate, url)
    origin, end, chance = SqlOrigin(url), HttpEnd(mode), random.Random(share)
    await origin.fill("j", list(exchanges(EXCHANGES)))
    await end.mend()
    end.receiver.faults = lambda: chance.choice([500, 502, 503, 404, 408]) if chance.random() < share else 0
    async with relay(origin, end, Letters()) as copying, running(copying):
        await until(lambda: len(end.receiver.ids) >= EXCHANGES and copying.status.lag == 0)
    (line,) = await end.lines()
    assert line == sorted(line)
    assert len(line) == len(set(line)) == len(end.receiver.ids)
    await end.close()
