"""How SQLite means to find what is asked: by which index, and without sorting what it found."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Select, True_, text
from sqlalchemy.dialects import postgresql, sqlite

from collector.access.looker import Reach
from collector.audit import access, mark_queries
from collector.audit import exchange_queries as queries
from collector.audit.exchange_queries import Way, hops
from collector.audit.exchanges import InTime
from collector.audit.moments import span
from collector.audit.pages import Room
from collector.audit.parameters import AccessQuery, ExchangeQuery
from collector.messages.completeness import Completeness
from collector.messages.event import Place
from collector.store.schema import exchanges
from tests.audit.postgres_store import PostgresStore
from tests.audit.rows import JOURNAL, NOW, Store, exchange, name


def plan(store: Store, statement: Select[tuple[object, ...]]) -> str:
    sql = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with store.engine.connect() as connection:
        return "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))


def page(**filters: str) -> Select[tuple[object, ...]]:
    query = ExchangeQuery.model_validate(filters)
    return queries.page(query, span(query.since, query.until, NOW), None, 101)


@pytest.mark.parametrize(
    ("filters", "used"),
    [
        ({}, "SCAN exchanges USING INDEX sqlite_autoindex_exchanges_1"),
        ({"order": "asc"}, "SCAN exchanges USING INDEX sqlite_autoindex_exchanges_1"),
        ({"since": "15m"}, "sqlite_autoindex_exchanges_1 (id>?)"),
        ({"since": "2h", "until": "1h"}, "sqlite_autoindex_exchanges_1 (id>? AND id<?)"),
        ({"namespace": "a", "service": "b"}, "USING INDEX ix_exchanges_"),
        ({"namespace": "a", "service": "b", "since": "1h"}, "id>?)"),
    ],
)
def test_pages_come_out_of_an_index_in_order(sqlite_store: Store, filters: dict[str, str], used: str) -> None:
    found = plan(sqlite_store, page(**filters))
    assert used in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize(
    ("filters", "used"),
    [
        ({"status": "404"}, "ix_exchanges_odd_status (status=?)"),
        ({"status": "none"}, "ix_exchanges_odd_status (status=?)"),
        ({"status": "5xx"}, "ix_exchanges_odd_status (status>? AND status<?)"),
        ({"since": "2h", "status": "5xx", "service": "x"}, "ix_exchanges_service (service=? AND id>?)"),
        ({"status": "200", "model": "x"}, "ix_exchanges_model (<expr>=?)"),
        ({"namespace": "none"}, "ix_exchanges_namespace (namespace=?)"),
        ({"service": "none"}, "ix_exchanges_service (service=?)"),
        ({"node": "none"}, "ix_exchanges_node (node=?)"),
        ({"caller": "none"}, "ix_exchanges_caller (caller=?)"),
        ({"model": "none"}, "ix_exchanges_model (<expr>=?)"),
        ({"path": "/none"}, "ix_exchanges_path (<expr>=?)"),
        ({"path": "/none*"}, "ix_exchanges_path (<expr>>? AND <expr><?)"),
        ({"method": "DELETE"}, "ix_exchanges_odd_method (method=?)"),
        ({"completeness": "!complete"}, "ix_exchanges_not_complete"),
        *(({"completeness": flag.name.lower()}, f"ix_exchanges_{flag.name.lower()}") for flag in Completeness if flag.name != "COMPLETE"),
    ],
)
def test_what_is_seldom_or_absent_is_found_by_an_index(sqlite_store: Store, filters: dict[str, str], used: str) -> None:
    assert used in plan(sqlite_store, page(**filters))


@pytest.mark.parametrize("filters", [{"path": "/v1*"}, {"status": "5xx"}, {"status": "503,504"}, {"method": "GET,PUT"}])
def test_a_range_of_many_rows_is_looked_through_in_the_order_of_time_and_one_of_few_is_sorted_by_ids(
    sqlite_store: Store, filters: dict[str, str]
) -> None:
    query = ExchangeQuery.model_validate(filters)
    within = span(query.since, query.until, NOW)
    through = plan(sqlite_store, queries.page(query, within, None, 101, Way.LOOKED_THROUGH))
    assert through == "SCAN exchanges USING INDEX sqlite_autoindex_exchanges_1"
    few = plan(sqlite_store, queries.page(query, within, None, 101, Way.SORTED))
    assert "SCAN exchanges" not in few
    assert "(id=?)" in few


@pytest.mark.parametrize("way", [Way.SORTED, Way.BY_RANGE])
@pytest.mark.parametrize(
    ("filters", "used"),
    [
        ({"path": "/v1*"}, "ix_exchanges_path (<expr>>? AND <expr><?)"),
        ({"status": "5xx"}, "ix_exchanges_odd_status (status>? AND status<?)"),
        ({"method": "GET,PUT"}, "ix_exchanges_odd_method (method=?)"),
        ({"status": "5xx", "service": "x"}, "ix_exchanges_service (service=? AND id>? AND id<?)"),
    ],
)
def test_a_range_of_few_rows_is_found_by_its_index_whatever_the_time(
    sqlite_store: Store, filters: dict[str, str], used: str, way: Way
) -> None:
    query = ExchangeQuery.model_validate({**filters, "since": "3d", "until": "1d"})
    within = span(query.since, query.until, NOW)
    for behind in (None, name(NOW, "x")):
        assert used in plan(sqlite_store, queries.page(query, within, behind, 101, way))


@pytest.mark.parametrize(
    ("leading", "used"),
    [
        ("status", "ix_exchanges_odd_status (status=? AND id>?)"),
        ("namespace", "ix_exchanges_namespace (namespace=? AND id>?)"),
        ("model", "ix_exchanges_model (<expr>=? AND id>?)"),
    ],
)
def test_of_several_values_the_one_that_leads_is_looked_for(sqlite_store: Store, leading: str, used: str) -> None:
    query = ExchangeQuery.model_validate({"since": "3d", "namespace": "x", "status": "429", "model": "x"})
    assert used in plan(sqlite_store, queries.page(query, span(query.since, query.until, NOW), None, 101, leading=leading))


@pytest.mark.parametrize(
    "filters",
    [
        {"path": "/v1*"},
        {"status": "5xx"},
        {"status": "503,none"},
        {"method": "GET,PUT"},
        {"status": "429", "model": "x"},
        {"status": "429", "model": "x", "since": "1h"},
    ],
)
def test_what_is_counted_beforehand_is_counted_in_an_index(sqlite_store: Store, filters: dict[str, str]) -> None:
    query = ExchangeQuery.model_validate(filters)
    within = span(query.since, query.until, NOW)
    counted = queries.sizes_of_values(query, span=within) if "model" in filters else queries.size_of_range(query)
    assert counted is not None
    found = plan(sqlite_store, counted)
    assert "INDEX ix_exchanges_" in found
    assert "since" not in filters or found.count("AND id>?") == 2


@pytest.mark.parametrize("filters", [{"status": "2xx"}, {"status": "200,201"}, {"method": "POST,PATCH"}, {"path": "/v1*", "status": "200"}])
def test_what_no_index_holds_is_not_counted(filters: dict[str, str]) -> None:
    assert queries.size_of_range(ExchangeQuery.model_validate(filters)) is None


@pytest.mark.parametrize("filters", [{"path": "/v1/a"}, {"status": "503"}, {"method": "GET"}, {}])
def test_one_value_is_no_range(filters: dict[str, str]) -> None:
    assert queries.size_of_range(ExchangeQuery.model_validate(filters)) is None


TWO = Reach(namespaces=frozenset({"shop", "lab"}))


def reached(way: Way, reach: Reach = TWO, leading: str | None = queries.REACH, **filters: str) -> Select[tuple[object, ...]]:
    query = ExchangeQuery.model_validate(filters)
    return queries.page(query, span(query.since, query.until, NOW), None, 101, way, None, leading, reach)


@pytest.mark.parametrize("filters", [{}, {"order": "asc"}, {"since": "2h"}, {"path": "/v1*"}, {"status": "5xx"}, {"revisions": "all"}])
def test_of_each_namespace_within_reach_the_newest_are_read_in_order_and_merged(sqlite_store: Store, filters: dict[str, str]) -> None:
    found = plan(sqlite_store, reached(Way.MERGED, **filters))
    assert (
        found.count("SEARCH exchanges USING INDEX ix_exchanges_namespace (namespace=?")
        + found.count("SEARCH exchanges USING COVERING INDEX ix_exchanges_namespace (namespace=?")
        == 2
    )
    assert "SCAN exchanges" not in found


def test_who_sees_one_namespace_reads_its_index_in_order(sqlite_store: Store) -> None:
    found = plan(sqlite_store, reached(Way.MERGED, Reach(namespaces=frozenset({"shop"}))))
    assert "ix_exchanges_namespace (namespace=?)" in found


@pytest.mark.parametrize(
    ("filters", "leading", "used"),
    [
        ({"model": "x"}, "model", "ix_exchanges_model (<expr>=?)"),
        ({"status": "404"}, "status", "ix_exchanges_odd_status (status=?)"),
        ({"request_id": "x"}, None, "ix_exchanges_request_id (request_id=?)"),
        ({"completeness": "!complete"}, None, "ix_exchanges_not_complete"),
    ],
)
def test_what_is_rarer_than_what_lies_within_reach_is_looked_for_first(
    sqlite_store: Store, filters: dict[str, str], leading: str | None, used: str
) -> None:
    assert used in plan(sqlite_store, reached(Way.AS_PLANNED, leading=leading, **filters))


def test_what_lies_within_reach_is_counted_in_its_index(sqlite_store: Store) -> None:
    counted = queries.sizes_of_values(ExchangeQuery(model="x"), TWO)
    assert counted is not None
    for statement in (counted, queries.size_within(TWO)):
        found = plan(sqlite_store, statement)
        assert "COVERING INDEX ix_exchanges_namespace (namespace=?)" in found
        assert "SCAN exchanges" not in found


@pytest.mark.parametrize(("few", "used"), [(False, "ix_exchanges_place (journal=?"), (True, "ix_exchanges_namespace (namespace=?)")])
def test_many_within_reach_are_found_by_their_places_and_few_are_sorted(sqlite_store: Store, few: bool, used: str) -> None:
    query = ExchangeQuery.model_validate({"order": "stored"})
    page = queries.stored_page(query, span(None, None, NOW), JOURNAL, Place(1, 0), Place(9, 9), 101, TWO, few)
    for statement in (page, queries.newest_place(JOURNAL, TWO, few)):
        assert used in plan(sqlite_store, statement)


def test_one_exchange_within_reach_is_found_by_its_key(sqlite_store: Store) -> None:
    for statement in (
        queries.named(name(NOW), TWO),
        queries.revisions(name(NOW), exchanges.c.data, reach=TWO),
        hops("x", span(None, None, NOW), 9, TWO),
    ):
        found = plan(sqlite_store, statement)
        assert "SCAN" not in found
        assert "ix_exchanges_namespace" not in found


@pytest.mark.parametrize(
    ("filters", "used"),
    [
        ({}, "SCAN looks USING INDEX sqlite_autoindex_looks_1"),
        ({"since": "1h"}, "sqlite_autoindex_looks_1 (id>?)"),
        ({"who": "ada"}, "ix_looks_name (name=?)"),
        ({"action": "list"}, "ix_looks_action (action=?)"),
        ({"id": "x"}, "SEARCH looks_at USING PRIMARY KEY (exchange=?"),
    ],
)
def test_looks_are_read_out_of_an_index_in_order(sqlite_store: Store, filters: dict[str, str], used: str) -> None:
    query = AccessQuery.model_validate(filters)
    found = plan(sqlite_store, access.looked(query, span(query.since, query.until, NOW), None, 101))
    assert used in found
    assert "TEMP B-TREE" not in found or "id" in filters


def test_who_has_seen_an_exchange_is_looked_up(sqlite_store: Store) -> None:
    found = plan(sqlite_store, access.at(name(NOW), None, 101))
    assert "SEARCH looks_at USING PRIMARY KEY (exchange=?" in found
    assert "SCAN looks" not in found


def test_a_request_id_is_looked_up(sqlite_store: Store) -> None:
    assert "ix_exchanges_request_id (request_id=?)" in plan(sqlite_store, page(request_id="x"))


def test_the_order_of_storage_is_an_index(sqlite_store: Store) -> None:
    query = ExchangeQuery.model_validate({"order": "stored"})
    found = plan(sqlite_store, queries.stored_page(query, span(None, None, NOW), JOURNAL, Place(1, 0), Place(9, 9), 101))
    assert "ix_exchanges_place (journal=? AND (position,ordinal)>(?,?)" in found
    assert "TEMP B-TREE" not in found


def test_one_exchange_is_found_by_its_key_and_the_index_on_revised_ones(sqlite_store: Store) -> None:
    found = plan(sqlite_store, queries.revisions(name(NOW), exchanges.c.data))
    assert "SCAN" not in found
    assert "ix_exchanges_revised" in found


def test_every_statement_is_sql_for_postgres_too() -> None:
    query = ExchangeQuery.model_validate(
        {"since": "1h", "until": "1m", "path": "/v1*", "status": "5xx,none", "completeness": "!complete", "method": "GET"}
    )
    within = span(query.since, query.until, NOW)
    for statement in (
        queries.page(query, within, name(NOW), 101),
        queries.stored_page(query, within, JOURNAL, Place(1, 0), Place(9, 9), 101),
        queries.revisions(name(NOW), exchanges.c.data),
    ):
        sql = str(statement.compile(dialect=postgresql.asyncpg.dialect()))  # type: ignore[attr-defined]
        assert "superseded IS false" in sql or "revision" in sql


CONSUMER = Reach(consumers=frozenset({"c0ffee"}))


def planned(store: Store, statement: Select[tuple[object, ...]]) -> str:
    """The plan of either store, of Postgres' as if its tables were large."""
    if not isinstance(store, PostgresStore):
        return plan(store, statement)
    found: list[str] = []

    def explain(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        sql = str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
        found.extend(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql}"))

    store.transact(explain)
    return "\n".join(found)


def test_who_sees_one_consumer_reads_what_is_his_out_of_an_index(store: Store) -> None:
    store.exchanges(exchange(NOW, consumer="c0ffee"), exchange(NOW + 1))
    way = Way.AS_PLANNED if isinstance(store, PostgresStore) else Way.MERGED
    for statement in (reached(way, CONSUMER), reached(way, CONSUMER, since="1h"), queries.size_within(CONSUMER)):
        found = planned(store, statement)
        assert re.search(r"(INDEX|using|Index Scan on) \S*consumer", found), found
        assert "SCAN exchanges" not in found
        assert "Seq Scan" not in found


def asked_of_the_index(store: Store, asking: Callable[[str], mark_queries.Asking]) -> str:
    """The plan of a statement with its own values."""
    found: list[str] = []

    def explain(connection: Connection) -> None:
        statement, values = asking(connection.dialect.name)
        if isinstance(store, PostgresStore):
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        way = "EXPLAIN" if isinstance(store, PostgresStore) else "EXPLAIN QUERY PLAN"
        found.extend(str(row[-1]) for row in connection.execute(text(f"{way} {statement.text}"), values))

    store.transact(explain)
    return "\n".join(found)


def test_of_each_run_only_the_rows_of_the_mark_are_read(store: Store) -> None:
    found = asked_of_the_index(store, lambda dialect: mark_queries.pairs(b"abcd", [1, 2, 3], dialect))
    if isinstance(store, PostgresStore):
        conditions = [line for line in found.splitlines() if "Index Cond" in line]
        assert any("(first <=" in line and "(run = asked.number)" in line for line in conditions), found
        assert any("(first <=" in line and "(first >" in line and "(run = asked" in line for line in conditions), found
        assert "Index Scan Backward using pk_mark_pairs" in found
        assert "Seq Scan" not in found
    else:
        assert "SEARCH p USING PRIMARY KEY (run=? AND first>? AND first<?)" in found
        assert "SEARCH p USING PRIMARY KEY (run=? AND first<?)" in found
        assert not re.search(r"SCAN (?!json_each|\(|CONSTANT)|TEMP B-TREE", found.replace("SCALAR", "")), found


def test_ids_of_runs_are_looked_up(store: Store) -> None:
    found = asked_of_the_index(store, lambda dialect: mark_queries.ids([1, 2], dialect))
    assert not re.search(r"Seq Scan|SCAN mark", found)


def test_who_sees_all_is_known_as_such() -> None:
    """Else all that an index names would be asked for once more: whether it may be seen."""
    asked = InTime(ExchangeQuery(user="u"), span(None, None, NOW), None, Room(10))
    assert isinstance(asked.sought.seen, True_)
    assert not isinstance(asked._replace(reach=CONSUMER).sought.seen, True_)
