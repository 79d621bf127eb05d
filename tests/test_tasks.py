"""A cancellation that a library lets escape is a failure to try again; one that was asked for ends the task."""

from __future__ import annotations

import asyncio

import pytest

from collector.errors import RetryableError
from collector.tasks import escaped


async def work(inner: asyncio.Future[None]) -> None:
    try:
        await inner
    except asyncio.CancelledError as error:
        raise escaped(error, "work") from error


async def test_what_was_cancelled_inside_may_be_tried_again() -> None:
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    with pytest.raises(RetryableError, match="work: cancelled from inside"):
        await work(inner)


async def test_a_task_that_is_to_end_ends() -> None:
    task = asyncio.create_task(work(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
