"""When a request is repeated, which outcome counts, and that a slow or dead target is not hammered. In virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import pytest

from collector.errors import RetryableError
from collector.relays.repeats import BEGUN, COPIES, EARNED, FIRST_SECONDS, FLOOR_SECONDS, SAVED, Patience, Repeats
from tests.support.virtual_time import in_virtual_time

TIMEOUT = 10.0


class Target:
    """Answers each request after so many seconds of the list, and like its last one for ever; from TIMEOUT on there is no answer."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = list(seconds)
        self.requests = self.cut = 0

    async def ask(self) -> int:
        self.requests += 1
        number, seconds = self.requests, self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        try:
            await asyncio.sleep(min(seconds, TIMEOUT))
        except asyncio.CancelledError:
            self.cut += 1
            raise
        if seconds >= TIMEOUT:
            raise RetryableError("no answer")
        return number


def asked(target: Target, times: int, repeats: Repeats | None = None) -> list[int | None]:
    """Which request of the target's was the answer, of so many asked one after the other."""

    async def all_of_them() -> list[int | None]:
        made, found = repeats or Repeats(), list[int | None]()
        for _ in range(times):
            found.append(None)
            with suppress(RetryableError):
                found[-1] = await made.answer(target.ask)
        return found

    return in_virtual_time(all_of_them())


def took(what: Callable[[], Coroutine[Any, Any, object]]) -> float:
    async def timed() -> float:
        now = asyncio.get_running_loop().time
        began = now()
        await what()
        return now() - began

    return in_virtual_time(timed())


def used_to(*seconds: float) -> Patience:
    patience = Patience()
    for one in seconds:
        patience.answered(one)
    return patience


def test_a_target_that_answers_as_usual_is_asked_once_each() -> None:
    target = Target(0.002)
    assert asked(target, 100) == list(range(1, 101))


def test_what_is_not_answered_is_asked_again_soon_and_only_the_answer_counts() -> None:
    target = Target(*[0.002] * 20, TIMEOUT, 0.002)
    repeats = Repeats()

    async def twenty_one() -> None:
        for _ in range(21):
            await repeats.answer(target.ask)

    assert took(twenty_one) < 0.1
    assert (target.requests, target.cut) == (22, 1)


def test_what_is_answered_late_is_not_given_up_for_its_repeats() -> None:
    target = Target(*[0.002] * 20, 3.0)
    assert asked(target, 21)[-1] == 21
    assert target.requests <= 21 + COPIES - 1


def test_a_target_that_became_slow_is_asked_more_than_once_only_until_its_first_answer() -> None:
    target = Target(*[0.002] * 20, 3.0)
    asked(target, 200)
    assert target.requests <= 200 + COPIES - 1


def test_a_target_whose_answers_take_now_long_now_short_gets_few_repeats() -> None:
    times = [0.002 * (1 + number * 37 % 11) for number in range(1000)]
    target = Target(*times)
    asked(target, 1000)
    assert target.requests < 1050


def test_a_dead_target_is_soon_asked_with_full_patience_only() -> None:
    target = Target(*[0.002] * 50, TIMEOUT)
    asked(target, 50 + 100)
    assert target.requests <= 50 + 100 + SAVED


def test_a_target_that_never_answered_gets_hardly_any_repeats() -> None:
    target = Target(TIMEOUT)
    asked(target, 100)
    assert target.requests == 100 + BEGUN


def test_of_two_that_came_to_an_end_at_once_the_answer_counts() -> None:
    at_once = asyncio.Event()
    asks = iter([True, False])

    async def ask() -> str:
        fails = next(asks)
        await at_once.wait()
        if fails:
            raise RetryableError("reset")
        return "accepted"

    async def both() -> str:
        asking = asyncio.create_task(Repeats().answer(ask))
        await asyncio.sleep(FIRST_SECONDS * 1.5)
        at_once.set()
        return await asking

    assert in_virtual_time(both()) == "accepted"


def test_who_is_cancelled_leaves_no_request_under_way() -> None:
    target = Target(*[0.002] * 20, TIMEOUT)

    async def cancelled() -> None:
        repeats = Repeats()
        for _ in range(20):
            await repeats.answer(target.ask)
        asking = asyncio.create_task(repeats.answer(target.ask))
        await asyncio.sleep(0.05)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(cancelled())
    assert target.cut == target.requests - 20 > 1


@pytest.mark.parametrize("answers", [[0.0001] * 50, [0.002] * 50, [5.0] * 50, [0.001, 0.9] * 25])
def test_patience_is_never_shorter_than_what_is_usual_and_than_a_busy_machine_needs(answers: Iterable[float]) -> None:
    patience = used_to(*answers)
    assert patience.seconds(1) >= max(FLOOR_SECONDS, min(answers))
    assert [patience.seconds(copies) / patience.seconds(1) for copies in range(1, COPIES)] == [1, 2, 4]
    assert patience.seconds(COPIES) == math.inf


def test_one_late_answer_is_enough_to_wait_for_the_next_as_long() -> None:
    assert used_to(*[0.002] * 50, 3.0).seconds(1) > 3.0


def test_answers_pay_for_repeats() -> None:
    patience = used_to(*[0.002] * 50)
    for _ in range(int(SAVED)):
        assert patience.seconds(1) < math.inf
        patience.repeated()
    assert patience.seconds(1) == math.inf
    for _ in range(int(1 / EARNED)):
        patience.answered(0.002)
    assert patience.seconds(1) < math.inf
