"""A pipeline that runs in a test's own loop, over a journal and a sink of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from collector.pipeline.pipeline import Pipeline
from tests.support.clocks import FOR_EVER
from tests.support.waits import SECONDS


class Closing(Protocol):
    async def close(self) -> None: ...


NO_TICKS = FOR_EVER  # where stores are compared: no tick of the pipeline's own takes a position, however long the test takes


class Counted(Protocol):
    @property
    def last_position(self) -> int: ...


async def all_done(pipeline: Pipeline, journal: Counted, seconds: float = SECONDS) -> None:
    """Returns when all that the journal has is stored, with what the pipeline itself writes down when it begins, which may come behind
    what was sent meanwhile. Raises AssertionError if that takes longer.
    """
    done = -1
    while done != journal.last_position:
        done = journal.last_position
        assert await pipeline.drained(done, seconds), f"position {done} is not stored after {seconds:g} s"


@asynccontextmanager
async def running(journal: Closing, pipeline: Pipeline, sink: Closing) -> AsyncIterator[asyncio.Task[None]]:
    """Runs it meanwhile, then closes both. Raises what ended the pipeline, if it did not run to the end."""
    task = asyncio.create_task(pipeline.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        await journal.close()
        await sink.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
