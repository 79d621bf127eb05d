"""How fast a relay is while its target fails in six ways, in virtual time: half of what gets through is the least."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import httpx
import pytest

from collector.errors import RetryableError
from collector.messages.event import Place
from collector.relays.http_target import HttpTarget
from collector.relays.open import TYPES
from collector.relays.protocol import Read
from collector.relays.relay import Relay
from collector.sinks.protocol import BEGINNING
from tests.support.clocks import TurnedClock
from tests.support.events import NOW_US, exchanges
from tests.support.faulty_receiver import FAULTS
from tests.support.relays import Letters
from tests.support.virtual_time import in_virtual_time

EXCHANGES = 300
SOUND_SECONDS, SLOW_SECONDS = 0.002, 0.012
SEEDS = range(3)
OUTPUTS = list(exchanges(EXCHANGES))


class Places:
    def __init__(self) -> None:
        self.held = BEGINNING

    async def get(self, journal: str) -> Place:
        return self.held

    async def set(self, journal: str, place: Place) -> None:
        self.held = place

    async def close(self) -> None:
        """Nothing is open."""


class Feed:
    generation = 0

    async def journals(self) -> Sequence[str]:
        return ["j"]

    async def high(self, journal: str) -> Place:
        return OUTPUTS[-1].place

    async def read(self, journal: str, after: Place) -> Read:
        found = [output for output in OUTPUTS if output.place > after][:100]
        return Read(found, found[-1].place) if found else Read([], after)

    async def close(self) -> None:
        """Nothing is open."""


class Client:
    """The relay's HTTP client, with a target behind it. `began`: when the first event was answered, before which nothing is known of it."""

    url = "http://target/"

    def __init__(self, share: float, timeout_seconds: float, seed: int) -> None:
        self.accepted: list[str] = []
        self.began = 0.0
        self._share, self._timeout_seconds, self._random, self._met = share, timeout_seconds, random.Random(seed), 0

    async def post(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> httpx.Response:
        fault = self._fault()
        if fault == "timeout":
            await asyncio.sleep(self._timeout_seconds)
            raise RetryableError("no answer")
        await asyncio.sleep(SLOW_SECONDS if fault == "slow" else SOUND_SECONDS)
        if fault in ("500", "503"):
            return httpx.Response(int(fault), headers={"retry-after": "0"} if fault == "503" else None)
        if fault != "reset":
            self.accepted.append(dict(headers)[b"ce-id"].decode())
        if fault in ("reset", "cut"):
            raise RetryableError(fault)
        self.began = self.began or asyncio.get_running_loop().time()
        return httpx.Response(204)

    def _fault(self) -> str:
        if self._random.random() >= self._share:
            return ""
        self._met += 1
        return FAULTS[self._met % len(FAULTS)]

    async def close(self) -> None:
        """Nothing is open."""


async def _rate(client: Client) -> float:
    """Events per second, once one was answered."""
    clock = TurnedClock(NOW_US)
    target = HttpTarget(client, Places(), clock, mode="binary", batch=1, batch_bytes=1 << 20)
    made = Relay("r", Feed(), target, Letters(), clock, types=frozenset(TYPES.values()), random=random.Random(1).random)
    while await made.once():
        pass
    return (EXCHANGES - 1) / (asyncio.get_running_loop().time() - client.began)


@pytest.mark.slow
@pytest.mark.parametrize("timeout_seconds", [0.05, 10.0])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_lost_answer_costs_what_answers_take_and_not_the_time_limit(share: float, timeout_seconds: float) -> None:
    healthy = in_virtual_time(_rate(Client(0, timeout_seconds, 0)))
    for seed in SEEDS:
        client = Client(share, timeout_seconds, seed)
        rate = in_virtual_time(_rate(client))
        assert rate >= healthy * (1 - share) / 2, f"seed {seed}: {rate:.0f} events/s of {healthy:.0f}"
        order = list(dict.fromkeys(client.accepted))
        assert len(order) == EXCHANGES
        assert order == sorted(order)
