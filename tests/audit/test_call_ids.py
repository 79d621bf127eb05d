"""Which exchanges a request id finds, on both stores: all of the call's, by an index, and no more than can be put together."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from collector.audit import exchange_queries as queries
from collector.audit.calls import MOST
from collector.audit.moments import Span
from tests.audit.conftest import Api
from tests.audit.postgres_store import PostgresStore
from tests.audit.rows import NOW, SECOND, Store, exchange
from tests.support.chains import REQUEST_ID
from tests.support.postgres import Database


async def test_revisions_that_were_superseded_are_no_hops(api: Api) -> None:
    api.store.exchanges(exchange(NOW, request_id="again"), exchange(NOW, revision=1, position=9, request_id="again"))
    [call] = (await api.get("/v1/calls/again")).json()["items"]
    assert len(call["hops"]) == 1


@pytest.mark.slow
async def test_an_id_that_is_repeated_without_end_is_told_in_part(api: Api) -> None:
    api.store.exchanges(*(exchange(NOW + n * SECOND, request_id="load", position=n) for n in range(MOST + 1)))
    answer = (await api.get("/v1/calls/load")).json()
    assert answer["truncated"] is True
    assert len(answer["items"]) == MOST
    some = await api.get("/v1/calls/load", since="2025-11-22T08:26:40Z", until="2025-11-22T08:26:50Z")
    assert len(some.json()["items"]) == 10
    assert "truncated" not in some.json()


async def test_an_id_may_be_whatever_a_client_sent(api: Api) -> None:
    for number, odd in enumerate(("a/b", "../../x", "é", "%2F", "?#", "x" * 1024)):
        api.store.exchanges(exchange(NOW + number * SECOND, request_id=odd, position=number))
        answer = await api.client.get(f"/v1/calls/{quote(odd, safe='')}")
        assert answer.status_code == 200, odd
        assert answer.json()["call_id"] == odd


async def test_an_unknown_id_is_a_404_and_a_wrong_one_a_400(api: Api) -> None:
    answer = await api.get("/v1/calls/nobody")
    assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")
    assert "'nobody'" in answer.json()["detail"]
    assert (await api.get("/v1/calls/a%00b")).json()["errors"][0]["parameter"] == "request_id"
    assert (await api.get("/v1/calls/a", sinse="1h")).status_code == 400


@pytest.mark.parametrize("within", [Span(), Span(NOW, None), Span(NOW, NOW + SECOND)])
def test_hops_are_looked_up_by_their_request_ids(sqlite_store: Store, within: Span) -> None:
    statement = queries.hops(REQUEST_ID, within, 10)
    sql = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with sqlite_store.engine.connect() as connection:
        plan = "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))
    assert "ix_exchanges_request_id (request_id=?)" in plan


async def test_postgres_can_look_them_up_so_too(database: Database) -> None:
    engine = PostgresStore(database).opened()
    async with engine.connect() as connection:
        await connection.execute(text("SET enable_seqscan = off"))
        statement = queries.hops(REQUEST_ID, Span(), 10).compile(connection.engine, compile_kwargs={"literal_binds": True})
        plan = "\n".join((await connection.execute(text(f"EXPLAIN {statement}".replace(":", "\\:")))).scalars())
    await engine.dispose()
    assert "Bitmap Index Scan" in plan
    assert "request_id" in plan
