"""The loop of a relay: how it waits, what it tells of itself, and that nothing a feed or target does ends it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from collector.errors import FencedError, MeshscribeError, PermanentError, RetryableError
from collector.messages.event import Output, Place
from collector.relays.open import TYPES
from collector.relays.protocol import Damaged, LaterError, Read
from collector.relays.relay import LATER_WAIT, LONGEST_WAIT, STAND_ASIDE, Relay
from collector.relays.start import told
from collector.sinks.protocol import BEGINNING
from tests.support.clocks import TurnedClock
from tests.support.events import NOW_US, exchanges
from tests.support.relays import Letters
from tests.support.waits import until_holds


class Feed:
    generation = 0

    def __init__(self, outputs: Sequence[Output] = (), damaged: Sequence[Damaged] = ()) -> None:
        self.outputs, self.damaged = list(outputs), list(damaged)

    async def journals(self) -> Sequence[str]:
        return ["j"]

    async def high(self, journal: str) -> Place:
        return self.outputs[-1].place

    async def read(self, journal: str, after: Place) -> Read:
        found = [output for output in self.outputs if output.place > after][:2]
        return Read(found, found[-1].place, self.damaged) if found else Read([], after)

    async def close(self) -> None:
        """Nothing is open."""


class Target:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.written: list[Output] = []
        self.at = BEGINNING
        self.asked = 0

    async def high(self, journal: str) -> Place:
        self.asked += 1
        return self.at

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        if self.error is not None:
            raise self.error
        self.written += outputs
        self.at = high

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def running(feed: Feed, target: Target, letters: Letters | None = None, longest_sleep: float = math.inf) -> AsyncIterator[Relay]:
    clock = TurnedClock(NOW_US)
    clock.longest_sleep = longest_sleep
    made = Relay(
        "r",
        feed,
        target,
        letters or Letters(),
        clock,
        types=frozenset(TYPES.values()),
        random=lambda: 0.0,
        idle_seconds=0.01,
        look_seconds=0.01,
    )
    task = asyncio.create_task(made.run())
    yield made
    made.stop()
    async with asyncio.timeout(10):
        await task


def relay() -> Relay:
    return Relay("r", Feed(), Target(), Letters(), TurnedClock(), types=frozenset(), random=lambda: 1.0)


def waited(error: MeshscribeError, tries: int) -> float:
    made = relay()
    waits = made._waits()
    waits.tries = tries
    return waits.next_s(made._asked(error))


def test_waits_grow_to_a_bound_and_no_further() -> None:
    waits = [waited(RetryableError("x"), tries) for tries in range(2000)]
    assert waits[:2] == [0, 0]
    assert waits[2:4] == [0.001, 0.0015]
    assert max(waits) == LONGEST_WAIT


def test_a_retry_after_is_kept_to_within_reason() -> None:
    assert waited(LaterError("x", 60), 0) == 60
    assert waited(LaterError("x", 10**9), 0) == LATER_WAIT
    assert waited(FencedError("x"), 0) == STAND_ASIDE


async def test_it_tells_since_when_and_why_it_fails_and_forgets_it_when_it_works() -> None:
    feed, target = Feed(exchanges(5)), Target()
    target.error = RetryableError("the target is down")
    async with running(feed, target) as made:
        await until_holds(lambda: made.status.failing)
        assert (made.status.failing, made.status.since_us, made.status.lag) == ("the target is down", NOW_US, 5)
        assert "failing since 2025-11-22T08:26:40.123456Z: the target is down" in told(made.status)
        target.error = None
        await until_holds(lambda: len(target.written) == 5)
        await until_holds(lambda: made.status.lag == 0)
        assert (made.status.failing, made.status.since_us, made.status.written) == (None, None, 5)


async def test_what_got_through_begins_the_waits_anew() -> None:
    feed, target = Feed(exchanges(1)), Target()
    made = relay()
    waited: list[float] = []

    async def rest(seconds: float) -> None:
        waited.append(seconds)
        target.error = faults.pop(0)

    def fault(progressed: bool) -> RetryableError:
        error = RetryableError("one in ten")
        error.progressed = progressed
        return error

    faults = [fault(False), fault(False), fault(True), None]
    target.error = fault(False)
    made._wait_out = rest  # type: ignore[method-assign]
    await made._retried(lambda: target.write("j", feed.outputs, Place(1, 0)))
    assert waited == [0, 0, 0.001, 0]


async def test_the_lag_of_a_failing_relay_goes_on_growing() -> None:
    feed, target = Feed(exchanges(5)), Target()
    target.error = RetryableError("the target is down")
    async with running(feed, target) as made:
        await until_holds(lambda: made.status.lag == 5)
        feed.outputs = exchanges(9)
        await until_holds(lambda: made.status.lag == 9)


async def test_it_stops_at_once_while_it_waits_for_a_target() -> None:
    feed, target = Feed(exchanges(1)), Target()
    target.error = LaterError("come tomorrow", 10**6)
    async with running(feed, target) as made:
        await until_holds(lambda: made.status.failing)
    assert target.written == []


async def test_damaged_bytes_are_buried_before_the_place_moves_on() -> None:
    letters = Letters()
    feed, target = Feed(exchanges(1), [Damaged(Place(1, 0), b"\xff", "no event")]), Target()
    async with running(feed, target, letters):
        await until_holds(lambda: target.written)
    (letter,) = letters.held.values()
    assert (letter.origin, letter.data, letter.reason, letter.place) == ("relay:r", b"\xff", "no event", Place(1, 0))


async def test_when_journals_were_elsewhere_the_places_are_asked_for_anew() -> None:
    feed, target = Feed(exchanges(1)), Target()
    async with running(feed, target):
        await until_holds(lambda: target.written)
        feed.generation += 1
        target.at = BEGINNING
        await until_holds(lambda: len(target.written) == 2)
    assert target.asked == 2


async def test_a_target_that_refuses_even_a_place_is_failing_and_not_the_end() -> None:
    feed, target = Feed(exchanges(3)), Target()
    target.error = PermanentError("of another program")
    async with running(feed, target, longest_sleep=0.01) as made:
        await until_holds(lambda: made.status.failing)
        target.error = None
        await until_holds(lambda: made.status.lag == 0)
