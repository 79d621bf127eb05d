"""What a collector does with the index of marks in the background, done at once: so a bench asks a store as it is after some time."""

from __future__ import annotations

import time

import asyncpg

from collector.clock import SystemClock
from collector.settings import Sink
from collector.settings.sink import is_postgres
from collector.store.engine import open_engine
from collector.store.merging import Merging


async def put_in_order(url: str) -> float:
    """Makes runs of all batches that are there; a server is told how many there are. Returns how many seconds it took."""
    began = time.monotonic()
    engine = open_engine(Sink(url=url))
    merging = Merging(engine, SystemClock())
    while await merging.step():
        pass
    await engine.dispose()
    if is_postgres(url):
        connection = await asyncpg.connect(url)
        for table in ("marks", "mark_runs", "mark_pairs", "mark_ids"):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
        await connection.close()
    return time.monotonic() - began
