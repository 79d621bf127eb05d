"""Queries share the store: none takes longer than the limit, no client keeps others out, and what is too much is refused with a reason."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from collector.audit.app import create_app
from collector.audit.turns import WAITING_EACH, Line, TooManyError, Turns
from collector.audit.values import MOST_VALUES
from collector.clock import SystemClock
from collector.settings import Audit, Sink
from collector.sqlite.turns import DEADLINE
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.audit.conftest import Api, Parts
from tests.support.postgres import Database
from tests.support.sinks import migrated

# What SQLite works on until somebody ends it.
ENDLESS = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def started(*waits: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(wait) for wait in waits]
    await settle()
    return tasks


async def test_a_client_has_no_more_than_its_share_and_others_pass_at_once() -> None:
    line = Line(4, 2)
    await line.enter("a")
    await line.enter("a")
    (third,) = await started(line.enter("a"))
    assert not third.done()
    await line.enter("b")
    line.leave("a")
    await third


async def test_clients_take_turns() -> None:
    line, order = Line(1, 1), []

    async def query(client: str) -> None:
        await line.enter(client)
        order.append(client)
        await settle()
        line.leave(client)

    await asyncio.gather(*(query(client) for client in "aaaaabc"))
    assert order == ["a", "a", "b", "c", "a", "a", "a"], "the second one of a waited before b came"


async def test_who_waits_for_too_many_turns_is_refused_and_others_are_not() -> None:
    line = Line(1, 1)
    await line.enter("a")
    waiting = await started(*(line.enter("a") for _ in range(WAITING_EACH)))
    with pytest.raises(TooManyError):
        await line.enter("a")
    (other,) = await started(line.enter("b"))
    assert not other.done()
    for task in (*waiting, other):
        task.cancel()
    await asyncio.wait([*waiting, other])
    line.leave("a")
    assert (line.running, line._waiting) == (0, {})
    await line.enter("b")


async def test_who_leaves_just_when_it_is_its_turn_gives_it_back() -> None:
    line = Line(1, 1)
    await line.enter("a")
    (waiting,) = await started(line.enter("b"))
    line.leave("a")
    waiting.cancel()
    await asyncio.wait({waiting})
    assert line.running == 0


async def test_who_gives_up_in_the_moment_in_which_another_leaves_harms_neither() -> None:
    """The turn is not given to who is gone, and the one that leaves is not told of it."""
    line = Line(1, 1)
    await line.enter("a")
    waiting = await started(line.enter("b"), line.enter("b"), line.enter("c"))
    waiting[0].cancel()
    waiting[1].cancel()
    line.leave("a")
    await asyncio.wait(waiting[:2])
    await waiting[2]
    line.leave("c")
    assert (line.running, line._waiting) == (0, {})


@asynccontextmanager
async def served(url: str, **settings: Any) -> AsyncIterator[Callable[[str], httpx.AsyncClient]]:
    """Gives clients, each with an address of its own."""
    audit = Audit(**settings)
    engine = open_engine(Sink(url=url), audit.query_seconds)
    app = create_app(engine, Parts(), CollectorRegistry(), audit, SystemClock())

    async def endless() -> str:
        async with engine.connect() as connection:
            statement = ENDLESS if engine.dialect.name == "sqlite" else "SELECT pg_sleep(600)"
            return str((await connection.execute(text(statement))).scalar())

    app.add_api_route("/v1/endless", endless, methods=["GET"])
    clients = []

    def client(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 1))
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60))
        return clients[-1]

    yield client
    for one in clients:
        await one.aclose()
    await engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return migrated(request).url


@pytest.mark.slow
async def test_a_query_is_ended_at_the_limit_and_its_connection_serves_on(url: str) -> None:
    async with served(url, query_seconds=1) as client:  # a healthy query takes no second, on a busy machine either
        for _ in range(2):
            answer = await client("10.0.0.1").get("/v1/endless")
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:meshscribe:problem:query-too-long")
            assert "audit.query_seconds" in answer.json()["detail"]
        assert (await client("10.0.0.1").get("/v1/exchanges?limit=1")).status_code == 200


@pytest.mark.slow
async def test_sixty_endless_queries_of_one_client_stop_no_other(url: str) -> None:
    async with served(url, query_seconds=2) as client:
        greedy, other = client("10.0.0.1"), client("10.0.0.2")
        flood = [asyncio.create_task(greedy.get("/v1/endless")) for _ in range(60)]
        await settle()
        for _ in range(5):
            assert (await other.get("/v1/exchanges?limit=1")).status_code == 200
        assert not all(task.done() for task in flood), "the flood was over before the other asked"
        answers = [await task for task in flood]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 60 - 4 - WAITING_EACH - 20
        assert {answer.status_code for answer in answers} == {429, 503}
        assert all(answer.headers["retry-after"] for answer in answers)
        assert "audit.client_queries" in refused[0].json()["detail"]


async def test_a_store_that_hangs_is_given_up_and_named(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    async with served(database.url, query_seconds=0.5) as client:
        asking = client("10.0.0.1")
        assert (await asking.get("/v1/exchanges")).status_code == 200
        with database.postgres.hung():
            for _ in range(2):
                answer = await asking.get("/v1/exchanges")
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:meshscribe:problem:store-unavailable")
                assert "Waiting for the store" in answer.json()["detail"]
        assert (await asking.get("/v1/exchanges")).status_code == 200
    assert len([record for record in caplog.records if "query is given up" in record.getMessage()]) == 1


@pytest.mark.slow
async def test_a_deadline_ends_what_a_file_works_on_in_its_thread(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/events.db")
    engine = open_engine(Sink(url=f"sqlite:///{tmp_path}/events.db"))
    token = DEADLINE.set(time.monotonic() + 0.2)
    async with engine.connect() as connection:
        with pytest.raises(Exception, match="interrupted") as caught:
            await connection.execute(text(ENDLESS))
    assert caught.value.orig.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT  # type: ignore[attr-defined]
    DEADLINE.reset(token)
    async with engine.connect() as connection:
        counted = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n"
        assert (await connection.execute(text(counted))).scalar() == 3_000_000, "no deadline is left over"
    await engine.dispose()


async def test_a_slow_reader_holds_no_turn() -> None:
    read = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def slow(message: Any) -> None:
        if message["type"] == "http.response.body":
            await read.wait()

    turns = Turns(app, Audit(queries=1, client_queries=1, query_seconds=0.05), SystemClock())
    scope = {"type": "http", "path": "/v1/exchanges", "client": ("a", 1), "method": "GET"}
    reader = asyncio.create_task(turns(scope, None, slow))  # type: ignore[arg-type]
    await settle()
    sent = []

    async def quick(message: Any) -> None:
        sent.append(message)

    await turns(scope, None, quick)  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    assert not reader.done()
    read.set()
    await reader


@pytest.mark.parametrize("name", ["status", "completeness", "method"])
async def test_too_many_values_are_refused_with_how_many_are_allowed(api: Api, name: str) -> None:
    value = {"status": "503", "completeness": "complete", "method": "GET"}[name]
    answer = await api.get("/v1/exchanges", **{name: ",".join([value] * (MOST_VALUES + 1))})
    assert answer.status_code == 400
    assert f"at most {MOST_VALUES}" in answer.json()["errors"][0]["detail"]
    assert (await api.get("/v1/exchanges", **{name: ",".join([value] * MOST_VALUES)})).status_code == 200


async def test_the_log_never_holds_a_whole_statement(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with served(url) as client:
        asked = client("10.0.0.1")
        transport: Any = asked._transport
        engine = open_engine(Sink(url=url))

        async def broken() -> None:
            async with engine.connect() as connection:
                columns = ", ".join(f"nothing_{n}" for n in range(5000))
                await connection.execute(
                    text(f"SELECT {columns} FROM exchanges WHERE id = :secret"), {"secret": " ".join(["what", "was", "asked"])}
                )

        transport.app.add_api_route("/v1/broken", broken, methods=["GET"])
        assert (await asked.get("/v1/broken")).status_code in (500, 503)
        await engine.dispose()
    assert caplog.records[-1].levelno == logging.ERROR
    assert "what was asked" not in caplog.text
    assert "nothing_4000" not in caplog.text
