"""Keeps one work going for each partition that is this process's.

A work that fails is begun anew: soon if that may help, late if not, and after it was fenced only when the group has spoken again. No
partition's failure touches another's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from aiokafka import TopicPartition

from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import FencedError, MeshscribeError, RetryableError
from collector.health import Component

log = logging.getLogger("meshscribe.roles")

RETRY_SECONDS = 1.0
HOPELESS_SECONDS = 30.0
STOP_SECONDS = 5.0


class Work(Protocol):
    """What is done for one partition."""

    async def run(self) -> None:
        """Until it is cancelled or fails; may be called again. Leaves nothing open."""
        ...

    @property
    def lag(self) -> int | None:
        """Entries that are not processed yet, as far as known."""
        ...

    def failing(self) -> str | None:
        """Why it does not get on now."""
        ...

    @property
    def oldest_unstored_seconds(self) -> float:
        """The age of the oldest entry that is not stored yet; 0 if there is none."""
        ...

    @property
    def lost(self) -> int:
        """Entries that were gone before they were read, since this process has the partition."""
        ...


class Supervisor:
    """`assign` says which partitions to work on."""

    def __init__(self, make: Callable[[TopicPartition], Work], session_seconds: float, clock: Clock) -> None:
        self._make, self._session_seconds, self._clock = make, session_seconds, clock
        self.works: dict[TopicPartition, Work] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._ended: dict[TopicPartition, str] = {}  # why a work is not running now
        self._spoken = asyncio.Event()  # set by the next assignment
        self._complaints = Complaints(log, clock)
        self._bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def assign(self, partitions: frozenset[TopicPartition]) -> None:
        """Ends the work of all others. Returns when it is ended, or left to end by itself."""
        await self._stop(set(self._tasks) - partitions)
        for at in sorted(partitions - set(self._tasks)):
            self.works[at] = self._make(at)
            self._tasks[at] = asyncio.create_task(self._keep(at, self.works[at]))
        spoken, self._spoken = self._spoken, asyncio.Event()
        spoken.set()

    async def close(self) -> None:
        await self._stop(set(self._tasks))

    async def watch(self) -> None:
        """Raises what no work may raise: then the process has to end."""
        await self._bug

    def components(self) -> Iterator[Component]:
        """One for each partition, for readiness."""
        for at, work in sorted(self.works.items()):
            fault = self._ended.get(at) or work.failing()
            lag = "lag not known yet" if work.lag is None else f"lag {work.lag}"
            if seconds := work.oldest_unstored_seconds:
                lag += f", the oldest that is not stored came {seconds:.1f} s ago"
            yield Component(f"{at.topic}/{at.partition}", fault is None, f"{lag}; {fault}" if fault else lag)

    @property
    def lags(self) -> Mapping[TopicPartition, int | None]:
        return {at: work.lag for at, work in self.works.items()}

    async def _stop(self, partitions: set[TopicPartition]) -> None:
        tasks = [self._tasks.pop(at) for at in partitions]
        for at in partitions:
            self.works.pop(at)
            self._ended.pop(at, None)
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            if left:
                log.warning("%d partitions are given away before their work has ended", len(left))

    async def _keep(self, at: TopicPartition, work: Work) -> None:
        while True:
            try:
                await work.run()
            except Exception as error:  # noqa: BLE001 - sorted by what it means; a bug ends the process
                fault = _meaning(error)
                if fault is None:
                    if not self._bug.done():
                        self._bug.set_exception(error)
                    return
                self._ended[at] = str(fault)
                await self._pause(at, fault)
            self._ended.pop(at, None)

    async def _pause(self, at: TopicPartition, fault: MeshscribeError) -> None:
        where = f"{at.topic}/{at.partition}"
        if isinstance(fault, FencedError):
            log.info("%s: another process has it now", where)
            try:
                await asyncio.wait_for(self._spoken.wait(), self._session_seconds)
            except TimeoutError:
                log.warning("%s: it is still ours: taking it back", where)
        elif isinstance(fault, RetryableError):
            self._complaints.tell(f"{where}{fault}", f"{where}: trying again: {fault}", logging.WARNING)
            await self._clock.sleep(RETRY_SECONDS)
        else:
            self._complaints.tell(f"{where}{fault}", f"{where}: stopped: {fault}")
            await self._clock.sleep(HOPELESS_SECONDS)


def _meaning(error: BaseException) -> MeshscribeError | None:
    """The error that decides, of those that ended a work; None if one of them is a bug."""
    found = list(_leaves(error))
    if not all(isinstance(one, MeshscribeError) for one in found):
        return None
    ranked = sorted((one for one in found if isinstance(one, MeshscribeError)), key=_rank)
    return ranked[0]


def _rank(error: MeshscribeError) -> int:
    return 0 if isinstance(error, FencedError) else 2 if isinstance(error, RetryableError) else 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
