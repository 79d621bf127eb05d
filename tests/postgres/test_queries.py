"""What the audit API asks of Postgres reads only the partitions and indexes that it needs: EXPLAIN says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Select, text

from collector.access.looker import EVERYTHING
from collector.audit import exchange_queries as queries
from collector.audit import ledger_queries
from collector.audit.exchange_queries import Way
from collector.audit.moments import span
from collector.audit.parameters import ExchangeQuery, LedgerQuery
from collector.messages.event import Place
from collector.settings import Sink
from collector.sinks.postgres import PostgresSink
from collector.store.engine import open_engine
from collector.store.partitions import create, is_partition, name
from collector.store.schema import exchanges as table
from collector.store.sql_types import Statement
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange, identity
from tests.support.postgres import Database

TODAY = NOW_US // DAY_US


async def plan(database: Database, statement: Select[Any] | Statement, *off: str) -> dict[str, Any]:
    """The plan as the API's own connections get it: with the values as parameters."""
    engine = open_engine(Sink(url=database.url))
    try:
        async with engine.connect() as connection:
            for way in ("seqscan", *off):  # the tables are nearly empty: there, everything is cheap
                await connection.execute(text(f"SET enable_{way} = off"))
            sql = str(statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
            found = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}")
            said = found.scalar_one()
    finally:
        await engine.dispose()
    parsed: dict[str, Any] = (json.loads(said) if isinstance(said, str) else said)[0]["Plan"]
    return parsed


def every(node: dict[str, Any], key: str) -> list[Any]:
    own = [node[key]] if key in node else []
    return own + [value for child in node.get("Plans", ()) for value in every(child, key)]


def read(found: dict[str, Any]) -> set[str]:
    return {table for table in every(found, "Relation Name") if is_partition(table)}


@pytest.fixture
async def filled(database: Database) -> Database:
    connection = await database.server.connect("test")
    await create(connection, range(TODAY - 9, TODAY + 4))
    await connection.close()
    sink = PostgresSink(database.server, TurnedClock(NOW_US))
    outputs = [exchange(Place(n, 0), NOW_US - n * DAY_US // 50, salt=str(n), status=503 if n % 9 == 0 else 200) for n in range(300)]
    await sink.write(JOURNAL, outputs, Place(300, 0))
    await sink.close()
    await database.fetch("ANALYZE exchanges")
    return database


def page(**filters: str) -> Select[Any]:
    query = ExchangeQuery.model_validate(filters)
    return queries.page(query, span(query.since, query.until, NOW_US), None, 101)


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize(
    ("filters", "used"),
    [
        ({"namespace": "a"}, "namespace"),
        ({"namespace": "a", "service": "b"}, "service"),
        ({"node": "a"}, "node"),
        ({"caller": "a", "since": "3d"}, "caller"),
        ({"model": "a"}, "substr"),
        ({"path": "/" + "a" * 300}, "substr"),
    ],
)
async def test_one_value_is_found_by_its_index_however_common_it_was(
    filled: Database, filters: dict[str, str], used: str, order: str
) -> None:
    """By the order of time alone, all would be looked through that came since the value was last there."""
    query = ExchangeQuery.model_validate({**filters, "order": order})
    statement = queries.page(query, span(query.since, query.until, NOW_US), identity(NOW_US, "x"), 101, Way.BY_VALUE)
    found = await plan(filled, statement, "sort", "bitmapscan")
    assert all(used in index for index in every(found, "Index Name"))
    assert "Sort" not in every(found, "Node Type")


@pytest.mark.parametrize(
    "filters", [{}, {"status": "503", "node": "a"}, {"node": "a", "caller": "b"}, {"path": "/a*"}, {"request_id": "a"}]
)
def test_several_values_are_left_to_the_planner(filters: dict[str, str]) -> None:
    assert queries.one_value(ExchangeQuery.model_validate(filters)) is None


async def test_a_span_of_time_reads_its_days_only(filled: Database) -> None:
    found = await plan(filled, page(since="3d", until="2d"))
    assert read(found) == {name("exchanges", day) for day in (TODAY - 3, TODAY - 2)}


async def test_the_last_hours_do_not_read_what_is_old(filled: Database) -> None:
    assert min(read(await plan(filled, page(since="5m"))) - {"exchanges_default"}) == name("exchanges", TODAY)


async def test_one_exchange_with_all_its_revisions_is_in_one_partition(filled: Database) -> None:
    assert read(await plan(filled, queries.revisions(identity(NOW_US, "0"), table.c.data))) == {name("exchanges", TODAY)}


async def test_bodies_are_in_one_partition(filled: Database) -> None:
    assert read(await plan(filled, queries.all_payloads([identity(NOW_US, "0")]))) == {name("payloads", TODAY)}


async def test_ledger_windows_of_a_span_are_in_its_days(filled: Database) -> None:
    query = LedgerQuery.model_validate({"since": "3d", "until": "2d"})
    sought = ledger_queries.Sought(None, None, EVERYTHING)
    found = await plan(filled, ledger_queries.windows(sought, span(query.since, query.until, NOW_US), None, 101))
    assert read(found) == {name("ledger", day) for day in (TODAY - 3, TODAY - 2)}


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "_pkey"),
        ({"namespace": "none"}, "namespace_id_idx"),
        ({"service": "none"}, "service_id_idx"),
        ({"node": "none"}, "node_id_idx"),
        ({"caller": "none"}, "caller_id_idx"),
        ({"model": "none"}, "substr_id_idx"),
        ({"path": "/none"}, "substr_id_idx"),
        ({"path": "/none*"}, "substr_id_idx"),
        ({"method": "DELETE"}, "method_id_idx"),
        ({"status": "418"}, "status_id_idx"),
        ({"request_id": "none"}, "request_id_idx"),
        ({"completeness": "!complete"}, "_id_idx"),
        ({"completeness": "headers_gap"}, "_id_idx"),
    ],
)
async def test_what_is_rare_is_found_by_an_index(filled: Database, filters: dict[str, str], index: str) -> None:
    found = await plan(filled, page(**filters), *(["sort"] if "pkey" in index else []))
    used = [name for name in every(found, "Index Name") if "default" not in name]
    assert any(index in name for name in used), used


async def test_a_page_of_one_value_comes_out_of_its_index_in_order(filled: Database) -> None:
    for filters in ({"node": "x"}, {"model": "x"}, {"status": "503"}, {"completeness": "client_aborted"}, {"service": "x"}):
        assert "Sort" not in every(await plan(filled, page(**filters), "sort"), "Node Type"), filters


async def test_a_service_is_expected_to_have_as_many_rows_as_it_has(database: Database) -> None:
    """Its namespace and its name are no two conditions: else all its rows would be read, to sort them."""
    sink = PostgresSink(database.server, TurnedClock(NOW_US))
    outputs = [exchange(Place(n, 0), NOW_US + n, salt=str(n), namespace=f"n{n % 20}", service=f"s{n % 20}") for n in range(600)]
    await sink.write(JOURNAL, outputs, Place(600, 0))
    await sink.close()
    await database.fetch("ANALYZE exchanges")
    found = await plan(database, queries.page(ExchangeQuery(namespace="n3", service="s3"), span(None, None, NOW_US), None, 1000))
    assert 25 <= every(found, "Plan Rows")[0] <= 45  # 30, and one of each empty partition; taken for two conditions: 2


async def test_the_connection_of_the_api_plans_for_its_values(database: Database) -> None:
    engine = open_engine(Sink(url=database.url))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW plan_cache_mode"))).scalar_one() == "force_custom_plan"
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "30s"
    await engine.dispose()
