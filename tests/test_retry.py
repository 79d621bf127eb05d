from __future__ import annotations

import pytest

from collector.retry import Backoff, steady, until_it_works


def test_waits_double_up_to_the_cap_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 0.999999)
    assert [round(backoff.next_s()) for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert round(backoff.next_s()) == 1


def test_waits_are_jittered_between_half_and_all() -> None:
    assert Backoff(2.0, 8.0, lambda: 0.0).next_s() == 1.0
    assert Backoff(2.0, 8.0, lambda: 0.5).next_s() == 1.5


def test_what_the_server_asks_for_is_heeded_up_to_a_cap() -> None:
    backoff = Backoff(0.1, 1.0, lambda: 0.0)
    assert backoff.next_s(3.0) == 3.0
    assert backoff.next_s(3600.0) == 10.0


def test_endless_failures_do_not_overflow() -> None:
    backoff = Backoff(0.1, 8.0, lambda: 0.0)
    assert [backoff.next_s() for _ in range(5000)][-1] == 4.0


def test_the_first_tries_may_not_wait_at_all() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 1.0, growth=1.5, at_once=2)
    assert [backoff.next_s() for _ in range(6)] == [0.0, 0.0, 1.0, 1.5, 2.25, 3.375]


class DownError(Exception):
    """Says when it wants to be asked again."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds


class Attempts:
    """What each attempt meets; then it works. What is waited in between."""

    def __init__(self, *faults: Exception) -> None:
        self.faults, self.failed, self.slept = list(faults), list[Exception](), list[float]()

    async def once(self) -> str:
        if self.faults:
            raise self.faults.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def all(self, backoff: Backoff) -> str:
        return await until_it_works(self.once, backoff, self.sleep, self.failed.append, DownError, lambda error: error.seconds)


async def test_it_is_tried_until_it_works_and_each_failure_is_told() -> None:
    backoff, attempts = Backoff(1.0, 5.0, lambda: 1.0), Attempts(DownError(), DownError(), DownError(4.5))
    assert await attempts.all(backoff) == "done"
    assert len(attempts.failed) == 3
    assert attempts.slept == [1.0, 2.0, 4.5]
    assert backoff.tries == 0, "a success begins the waits anew"


async def test_a_steady_wait_is_the_same_each_time() -> None:
    attempts = Attempts(*[DownError() for _ in range(5)])
    await attempts.all(steady(0.5))
    assert attempts.slept == [0.5] * 5


async def test_other_errors_are_the_callers() -> None:
    attempts = Attempts(DownError(), ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        await attempts.all(steady(0.5))
    assert attempts.slept == [0.5]
