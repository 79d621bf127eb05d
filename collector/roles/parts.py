"""What all roles have: addresses, health, patience with a Kafka that is not up yet. Light: listeners come first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry

from collector.clock import Clock
from collector.clock_steps import Steps
from collector.complaints import Outage
from collector.errors import RetryableError
from collector.health import Component
from collector.metrics import ClockMetrics
from collector.retry import steady, until_it_works
from collector.roles.phase import Phase
from collector.settings import Settings
from collector.tasks import cancel

T = TypeVar("T")

log = logging.getLogger("meshscribe")

RETRY_SECONDS = 1.0


class Addresses(NamedTuple):
    """Where the listeners are, as `host:port`; empty for those that the role does not have."""

    tap: str = ""
    access_log: str = ""
    audit: str = ""


class Running(NamedTuple):
    """What starting a role gives: a task that ends only if the role cannot go on, and the addresses."""

    task: asyncio.Task[None]
    addresses: Addresses


class Starting(NamedTuple):
    """What every role is started with. Each stack stops its parts in the opposite order; that of the sources is stopped first."""

    settings: Settings
    clock: Clock
    stack: AsyncExitStack
    registry: CollectorRegistry
    sources: AsyncExitStack
    phase: Phase


class RoleHealth:
    """A Health that parts are added to as they start."""

    def __init__(self) -> None:
        self.parts: list[Callable[[], Sequence[Component]]] = []
        self._waits_for = ""

    def wait_for(self, why: str) -> None:
        """Why the store cannot be used, before the role has begun; empty: it can."""
        self._waits_for = why

    def components(self) -> Sequence[Component]:
        """See health.Health. Nothing is ready before the first part is there."""
        found = [component for part in self.parts for component in part()]
        if self._waits_for:
            found.append(Component("store", False, self._waits_for))
        return found or [Component("role", False, "starting")]


async def patiently(attempt: Callable[[], Awaitable[T]], clock: Clock, told: Callable[[str], None] = lambda _: None) -> T:
    """Until it works: what is asked for may start after us, or be mended. `told` why it does not; when it does, nothing."""
    outage = Outage("what was waited for is there", log, clock)

    def fails(error: RetryableError) -> None:
        told(str(error))
        outage.fails(str(error), f"waiting: {error}")

    result = await until_it_works(attempt, steady(RETRY_SECONDS), clock.sleep, fails, RetryableError)
    told("")
    outage.works()
    return result


def start_steps(starting: Starting) -> Steps:
    """What notices that the clock was set, while the stack stands."""
    steps = Steps(starting.clock, ClockMetrics(starting.registry).count)
    starting.stack.push_async_callback(cancel, asyncio.create_task(steps.run()))
    return steps


def clock_part(starting: Starting) -> Callable[[], Sequence[Component]]:
    """For readiness, of roles without a journal of their own: says when the clock was set, and fails nothing."""
    steps = start_steps(starting)
    return lambda: [Component("clock", True, steps.told())]
