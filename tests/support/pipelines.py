"""A pipeline that runs in a test's own loop, over a journal and a sink of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from collector.pipeline.pipeline import Pipeline
from tests.support.clocks import FOR_EVER


class Closing(Protocol):
    async def close(self) -> None: ...


NO_TICKS = FOR_EVER  # where stores are compared: no tick of the pipeline's own takes a position, however long the test takes


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
