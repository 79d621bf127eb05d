"""A store that hangs says nothing: the pipeline notices by itself, says so, and goes on when it answers again."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from collector.complaints import Outage
from collector.journal.sqlite import SqliteJournal
from collector.messages.entry import Kind
from collector.metrics import PipelineMetrics, SinkMetrics
from collector.pipeline.pipeline import Pipeline
from collector.sinks.postgres import PostgresSink
from collector.sinks.sqlite import SqliteSink
from collector.store.migrate import migrate
from tests.pipeline.test_pipeline import TurnedClock, append, opened, pipeline, stored, tape, uninterrupted
from tests.support.pipelines import running
from tests.support.postgres import Database
from tests.support.waits import until_holds

PATIENCE = 60.0
LOOK_SECONDS = 0.05


@asynccontextmanager
async def storing(folder: Path, sink: Any) -> AsyncIterator[tuple[SqliteJournal, Pipeline]]:
    clock = TurnedClock()
    clock.longest_sleep = LOOK_SECONDS
    journal = await opened(folder, clock)
    made = pipeline(journal, sink, silent_seconds=1.0)
    async with running(journal, made, sink):
        yield journal, made


def silences(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "has not answered" in record.getMessage()]


async def test_a_server_that_hangs_in_work_is_told_and_all_is_stored_when_it_answers(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = tape(Random(1)).entries
    async with storing(tmp_path, PostgresSink(database.server, TurnedClock())) as (journal, made):
        registry = CollectorRegistry()
        PipelineMetrics(registry, made, made._correlator)
        SinkMetrics(registry, lambda: made.failing)
        half = len(entries) // 2
        await append(journal, journal._clock, entries[:half])  # type: ignore[arg-type]
        assert await made.drained(journal.last_position, PATIENCE)
        await until_holds(lambda: made.failing is None)  # a checkpoint may be written
        caplog.clear()  # a busy machine may have been silent before, and that was said: what comes now is an outage of its own
        made._outage = Outage("the sink takes events", logging.getLogger("meshscribe.pipeline"), journal._clock)
        with database.postgres.hung():
            await append(journal, journal._clock, entries[half:])  # type: ignore[arg-type]
            await until_holds(lambda: made.failing)
            assert "has not answered for" in (made.failing or "")
            await until_holds(lambda: silences(caplog))
            assert registry.get_sample_value("meshscribe_sink_failing") == 1
            assert (registry.get_sample_value("meshscribe_sink_waiting_seconds") or 0) > 1.0
            told = made.waiting.seconds
            await until_holds(lambda: made.waiting.seconds > told + 10 * LOOK_SECONDS)
        assert await made.drained(journal.last_position, PATIENCE)
        await until_holds(lambda: made.failing is None)  # a checkpoint may be written
        await until_holds(lambda: registry.get_sample_value("meshscribe_sink_failing") == 0)
    assert len(silences(caplog)) == 1, "one line, however long it lasts"
    assert [r.message for r in caplog.records if r.message.endswith("again")] == ["the sink takes events again"]
    expected = await uninterrupted(tmp_path / "whole", entries)
    assert await database.value("SELECT count(*) FROM exchanges") == sum(row[0] == "exchanges" for row in expected)


async def test_a_server_that_hangs_at_start_is_told(database: Database, tmp_path: Path) -> None:
    with database.postgres.hung():
        async with storing(tmp_path, PostgresSink(database.server, TurnedClock())) as (journal, made):
            await until_holds(lambda: made.failing)
            await until_holds(lambda: made.away)
            assert await journal.append(Kind.TICK, "", b"") == 1, "what comes is taken meanwhile"
    assert database.postgres.run("SELECT 1")


async def test_a_server_that_hangs_holds_up_no_end(database: Database, tmp_path: Path) -> None:
    entries = tape(Random(2)).entries
    with ExitStack() as stack:
        async with asyncio.timeout(None) as ending:
            async with storing(tmp_path, PostgresSink(database.server, TurnedClock())) as (journal, made):
                await until_holds(lambda: made._resumed)
                stack.enter_context(database.postgres.hung())
                await append(journal, journal._clock, entries)  # type: ignore[arg-type]
                await until_holds(lambda: made.failing)
                ending.reschedule(asyncio.get_running_loop().time() + PATIENCE)


@pytest.mark.slow
async def test_a_file_locked_by_another_process_is_told_and_all_is_stored_when_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = tape(Random(3)).entries
    expected = await uninterrupted(tmp_path / "whole", entries)
    folder = tmp_path / "locked"
    folder.mkdir()
    migrate(f"sqlite:///{folder}/events.db")
    other = sqlite3.connect(folder / "events.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with storing(folder, SqliteSink(folder / "events.db")) as (journal, made):
        await append(journal, journal._clock, entries)  # type: ignore[arg-type]
        await until_holds(lambda: "has not answered" in (made.failing or ""))
        await until_holds(lambda: "locked" in (made.failing or ""))
        other.execute("ROLLBACK")
        other.close()
        assert await made.drained(journal.last_position, PATIENCE)
        await until_holds(lambda: made.failing is None)  # a checkpoint may be written
    assert stored(folder) == expected
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([line for line in said if "locked" in line]) == 1
