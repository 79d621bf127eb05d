"""Ends tasks, and tells a cancellation that was asked for from one that a library let escape out of its own tasks."""

from __future__ import annotations

import asyncio

from collector.errors import RetryableError


async def cancel(task: asyncio.Task[object]) -> None:
    """Returns when the task has ended, however it did."""
    task.cancel()
    await asyncio.wait({task})


def escaped(error: asyncio.CancelledError, what: str) -> RetryableError:
    """The error that it is to the caller. Raises `error` itself if this task is to end."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    return RetryableError(f"{what}: cancelled from inside")
