"""Several statuses out of Postgres: each by its index, however much went well since, and all that a look at every row finds."""

from __future__ import annotations

from itertools import product

import pytest
from sqlalchemy import text

from collector.audit import status_queries
from collector.audit.exchanges import InTime, in_time
from collector.audit.moments import span
from collector.audit.pages import Room
from collector.audit.parameters import ExchangeQuery
from collector.messages.event import Place
from collector.settings import Sink
from collector.sinks.postgres import PostgresSink
from collector.store.engine import open_engine
from collector.store.schema import exchanges
from tests.postgres.test_queries import every, plan
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange
from tests.support.postgres import Database

STATUSES = (200, 404, 404, 429, 500, 503, 599, 599, None)
ASKED = ["5xx", "4xx", "404,429", "1xx", "500,1xx", "503,418", "4xx,5xx"]
Stored = list[tuple[str, int, int | None]]  # id, start in µs, status


@pytest.fixture
async def stored(database: Database) -> Stored:
    """Over ten days; those of the last day all went well."""
    made, outputs = [], []
    for number in range(300):
        status = 200 if number < 30 else STATUSES[number * 7 % len(STATUSES)]
        start = NOW_US - number * DAY_US // 30
        output = exchange(Place(number + 1, 0), start, salt=str(number), status=status)
        outputs.append(output)
        made.append((output.events[0].id, start, status))
    sink = PostgresSink(database.server, TurnedClock(NOW_US))
    await sink.write(JOURNAL, outputs, Place(301, 0))
    await sink.close()
    await database.fetch("ANALYZE exchanges")
    return sorted(made)


def is_asked(asked: str, status: int | None) -> bool:
    return status is not None and any(one in (str(status), f"{status // 100}xx") for one in asked.split(","))


@pytest.mark.parametrize("asked", ASKED)
async def test_pages_have_what_a_look_at_every_row_finds(database: Database, stored: Stored, asked: str) -> None:
    engine = open_engine(Sink(url=database.url))
    async with engine.connect() as connection:
        for order, since, limit in product(("asc", "desc"), (None, "5d"), (7, 500)):
            told = {"status": asked, "order": order} | ({"since": since} if since else {})
            query = ExchangeQuery.model_validate(told)
            within, behind, found = span(query.since, query.until, NOW_US), None, list[str]()
            while True:
                page = await in_time(connection, InTime(query, within, behind, Room(limit)))
                found += [row.id for row in page.rows]
                if not page.more:
                    break
                behind = found[-1]
            first_us = NOW_US - 5 * DAY_US if since else 0
            expected = [one for one, start, status in stored if start >= first_us and is_asked(asked, status)]
            assert found == (expected if order == "asc" else expected[::-1]), told
    await engine.dispose()


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_each_status_is_read_by_its_index_in_order(database: Database, stored: Stored, order: str) -> None:
    query = ExchangeQuery.model_validate({"status": "5xx", "order": order})
    statement = status_queries.first(query, span(None, None, NOW_US), stored[200][0], 101, [500, 503], [])
    found = await plan(database, statement, "bitmapscan", "sort")
    assert all("status" in index for index in every(found, "Index Name")), every(found, "Index Name")
    assert any("status >= " in condition for condition in every(found, "Index Cond"))
    assert every(found, "Sort Key").count(["exchanges.id"]) == 0


async def test_which_statuses_there_are_is_read_out_of_the_index(database: Database, stored: Stored) -> None:
    engine = open_engine(Sink(url=database.url))
    async with engine.connect() as connection:
        there = [row[0] for row in await connection.execute(status_queries.there())]
        await connection.execute(text("SET enable_seqscan = off"))
        explained = (await connection.exec_driver_sql(f"EXPLAIN {status_queries.there().text}")).scalars().all()
    await engine.dispose()
    assert there == sorted({status for *_, status in stored if status not in (200, None)})
    assert not [line for line in explained if "Seq Scan" in line]


@pytest.mark.parametrize(
    ("filters", "is_alone"),
    [
        ({"status": "5xx"}, True),
        ({"status": "404,429", "since": "1h", "revisions": "all"}, True),
        ({"status": "404"}, False),  # one value
        ({"status": "2xx,5xx"}, False),
        ({"status": "200,404"}, False),
        ({"status": "5xx,none"}, False),
        ({"status": "5xx", "namespace": "a"}, False),
        ({"status": "5xx", "path": "/a*"}, False),
        ({}, False),
    ],
)
def test_others_are_left_to_the_planner(filters: dict[str, str], is_alone: bool) -> None:
    assert (status_queries.alone(ExchangeQuery.model_validate(filters)) is not None) is is_alone


def test_of_many_statuses_a_class_has_a_hundred() -> None:
    asked = ExchangeQuery.model_validate({"status": "5xx,404"}).status
    assert asked is not None
    assert status_queries.among(asked, [*range(100, 1000)]) == [404, *range(500, 600)]
    assert exchanges.c.status.nullable
