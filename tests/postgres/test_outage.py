"""A server that goes away and comes back: the pipeline waits and loses nothing, the audit API says so and recovers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from collector.audit.app import create_app
from collector.clock import SystemClock
from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.journal.sqlite import open_journal
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.pipeline import Pipeline
from collector.settings import Audit, Journal, Sink
from collector.sinks.postgres import PostgresSink
from collector.store.engine import open_engine
from tests.bench.bench_queries import Healthy
from tests.support.clocks import RunningClock
from tests.support.outputs import chats, entries, events, outputs
from tests.support.pipelines import running
from tests.support.postgres import Database
from tests.support.waits import until_holds


async def test_what_was_received_while_the_server_was_down_is_stored_once_when_it_is_back(database: Database, tmp_path: Path) -> None:
    told = chats(300)
    tape = entries(told)
    clock = RunningClock()
    journal = await open_journal(Journal(path=tmp_path / "journal.db"), clock, 1 << 24)
    sink = PostgresSink(database.server, clock)
    pipeline = Pipeline(
        journal,
        sink,
        Correlator(Limits()),
        ExchangeMeaning(Catalogue()),
        clock,
        batch=50,
        checkpoint_us=1,
        checkpoint_bytes=1,
    )
    half = len(tape) // 2
    async with running(journal, pipeline, sink):
        for entry in tape[:half]:
            position = await journal.append(entry.kind, entry.source, entry.payload)
        assert await pipeline.drained(position, 30)
        await asyncio.to_thread(database.postgres.stop, "immediate")
        try:
            for entry in tape[half:]:
                position = await journal.append(entry.kind, entry.source, entry.payload)
            await until_holds(lambda: pipeline.failing)
            assert "s3cret" not in (pipeline.failing or "")
        finally:
            await asyncio.to_thread(database.postgres.start)
        assert await pipeline.drained(position, 60)
    wanted = {event.id for event in events(outputs(told, with_usage=False)) if event.type == "meshscribe.exchange.v1"}
    assert {row["id"] for row in await database.fetch("SELECT id FROM exchanges")} == wanted
    assert await database.value("SELECT count(*) FROM exchanges") == len(told)
    assert await database.value("SELECT count(*) FROM payloads") == 2 * len(told)


async def test_the_audit_api_says_that_the_store_is_away_and_recovers(database: Database) -> None:
    engine = open_engine(Sink(url=database.url))
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        assert (await client.get("/v1/exchanges")).status_code == 200
        await asyncio.to_thread(database.postgres.stop, "immediate")
        try:
            away = await client.get("/v1/exchanges")
        finally:
            await asyncio.to_thread(database.postgres.start)
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        assert away.json()["type"] == "urn:meshscribe:problem:store-unavailable"
        assert (await client.get("/v1/exchanges")).status_code == 200
    await engine.dispose()


async def test_connections_that_rested_while_the_server_was_restarted_are_replaced_in_silence(database: Database) -> None:
    engine = open_engine(Sink(url=database.url))
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        await asyncio.gather(*(client.get("/v1/exchanges") for _ in range(3)))
        await asyncio.to_thread(database.postgres.stop, "immediate")
        await asyncio.to_thread(database.postgres.start)
        told = await asyncio.gather(*(client.get("/v1/exchanges") for _ in range(3)))
        assert [answer.status_code for answer in told] == [200, 200, 200]
    await engine.dispose()


@pytest.mark.parametrize(("rested", "is_asked"), [(0.0, False), (60.0, True)])
async def test_a_connection_that_rested_long_is_asked_whether_it_is_alive(database: Database, rested: float, is_asked: bool) -> None:
    engine = open_engine(Sink(url=database.url))
    async with engine.connect() as connection:
        backend = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        entry = (await connection.get_raw_connection()).info
    entry["rests since"] -= rested
    async with engine.connect() as connection:
        assert backend == (await connection.get_raw_connection()).driver_connection.get_server_pid()
        [said] = await database.fetch("SELECT query FROM pg_stat_activity WHERE pid = $1", backend)
    assert (said["query"] == "SELECT 1") == is_asked
    await engine.dispose()


async def test_a_query_that_takes_too_long_is_given_up(database: Database) -> None:
    engine = open_engine(Sink(url=database.url))
    app = create_app(engine, Healthy(), CollectorRegistry(), Audit(), SystemClock())
    await database.fetch("SELECT 1")
    holder = await database.server.connect("test")
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
    async with engine.connect() as connection:  # the one that the pool hands out next
        await connection.exec_driver_sql("SET statement_timeout = '100ms'")
        await connection.commit()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        assert (await client.get("/v1/exchanges")).status_code == 503
    await holder.execute("ROLLBACK")
    await holder.close()
    await engine.dispose()
