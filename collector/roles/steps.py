"""The watch over the machine's clock in each role: what notices that it was set, and says so in readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from collector.clock_steps import Steps
from collector.health import Component
from collector.metrics import ClockMetrics
from collector.roles.parts import Starting
from collector.tasks import cancel


def start_steps(starting: Starting) -> Steps:
    """What notices that the clock was set, while the stack stands."""
    steps = Steps(starting.clock, ClockMetrics(starting.registry).count)
    starting.stack.push_async_callback(cancel, asyncio.create_task(steps.run()))
    return steps


def clock_part(starting: Starting) -> Callable[[], Sequence[Component]]:
    """For readiness, of roles without a journal of their own: says when the clock was set, and fails nothing."""
    steps = start_steps(starting)
    return lambda: [Component("clock", True, steps.told())]
