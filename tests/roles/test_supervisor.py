"""What the supervisor does when the work on a partition fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition

from collector.errors import DamagedError, FencedError, RetryableError
from collector.roles.supervisor import Supervisor
from tests.support.clocks import RunningClock

ONE, TWO = TopicPartition("raw", 1), TopicPartition("raw", 2)


class Script:
    """A work that fails as it is told, run by run, and then goes on for ever."""

    def __init__(self, *failures: BaseException) -> None:
        self._failures = list(failures)
        self.runs = 0
        self.cancelled = False
        self.begun = asyncio.Event()

    lag = 7
    oldest_unstored_seconds = 0.0
    lost = 0

    def failing(self) -> str | None:
        return None

    async def run(self) -> None:
        self.runs += 1
        self.begun.set()
        if self._failures:
            raise self._failures.pop(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def ran(self, times: int) -> None:
        while self.runs < times:
            self.begun.clear()
            await self.begun.wait()


def supervising(works: dict[TopicPartition, Script], session_seconds: float = 60.0) -> Supervisor:
    make: Callable[[TopicPartition], Script] = works.__getitem__
    clock = RunningClock()
    clock.longest_sleep = 1.0 / 1024  # between tries
    return Supervisor(make, session_seconds, clock)


def fault(supervisor: Supervisor) -> list[bool]:
    return [component.ok for component in supervisor.components()]


async def test_work_that_stays_is_not_interrupted_by_an_assignment() -> None:
    works = {ONE: Script(), TWO: Script()}
    supervisor = supervising(works)
    await supervisor.assign(frozenset({ONE}))
    await supervisor.assign(frozenset({ONE, TWO}))
    await works[TWO].ran(1)
    assert (works[ONE].runs, works[ONE].cancelled) == (1, False)
    await supervisor.close()


async def test_work_that_is_taken_away_has_ended_when_assign_returns() -> None:
    works = {ONE: Script(), TWO: Script()}
    supervisor = supervising(works)
    await supervisor.assign(frozenset({ONE, TWO}))
    await works[ONE].ran(1)
    await supervisor.assign(frozenset({TWO}))
    assert works[ONE].cancelled
    assert list(supervisor.works) == [TWO]
    await supervisor.close()
    assert works[TWO].cancelled


async def test_work_that_may_succeed_later_is_begun_again_also_out_of_a_group_of_errors() -> None:
    work = Script(RetryableError("away"), ExceptionGroup("two", [RetryableError("a"), RetryableError("b")]))
    supervisor = supervising({ONE: work})
    await supervisor.assign(frozenset({ONE}))
    await work.ran(3)
    assert fault(supervisor) == [True]
    await supervisor.close()


async def test_fenced_work_waits_until_the_group_has_spoken() -> None:
    work = Script(ExceptionGroup("both", [RetryableError("a"), FencedError("b")]))
    supervisor = supervising({ONE: work})
    await supervisor.assign(frozenset({ONE}))
    while fault(supervisor) == [True]:
        await asyncio.sleep(0)
    assert work.runs == 1
    await supervisor.assign(frozenset({ONE}))
    await work.ran(2)
    await supervisor.close()


async def test_fenced_work_is_taken_back_when_the_group_says_nothing_for_a_session() -> None:
    work = Script(FencedError("b"))
    supervisor = supervising({ONE: work}, session_seconds=0.01)
    await supervisor.assign(frozenset({ONE}))
    await work.ran(2)
    await supervisor.close()


async def test_hopeless_work_is_told_and_leaves_the_others_alone() -> None:
    works = {ONE: Script(DamagedError("the state cannot be read")), TWO: Script()}
    supervisor = supervising(works)
    await supervisor.assign(frozenset({ONE, TWO}))
    await works[TWO].ran(1)
    [first, second] = supervisor.components()
    assert (first.ok, second.ok) == (False, True)
    assert first.detail == "lag 7; the state cannot be read"
    await supervisor.close()


async def test_a_bug_ends_the_process() -> None:
    supervisor = supervising({ONE: Script(ValueError("a bug"))})
    await supervisor.assign(frozenset({ONE}))
    with pytest.raises(ValueError, match="a bug"):
        await supervisor.watch()
    await supervisor.close()
