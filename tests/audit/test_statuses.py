"""Several statuses: each by its index, however much went well since, and all that a look at every row finds."""

from __future__ import annotations

import re
from itertools import product

import pytest
from sqlalchemy import TextClause, text

from collector.audit import status_queries
from collector.audit.exchanges import InTime, in_time
from collector.audit.moments import span
from collector.audit.pages import Room
from collector.audit.parameters import ExchangeQuery
from collector.messages.event import Place
from collector.settings import Sink
from collector.sinks.open import open_sink
from collector.store.engine import open_engine
from collector.store.schema import exchanges
from collector.store.sql_types import Statement
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US, exchange
from tests.support.sinks import migrated

STATUSES = (200, 404, 404, 429, 500, 503, 599, 599, None)
ASKED = ["5xx", "4xx", "404,429", "1xx", "500,1xx", "503,418", "4xx,5xx"]
Stored = list[tuple[str, int, int | None]]  # id, start in µs, status


@pytest.fixture(params=["sqlite", "postgres"])
def sink(request: pytest.FixtureRequest) -> Sink:
    return migrated(request)


@pytest.fixture
async def stored(sink: Sink) -> Stored:
    """Over ten days; those of the last day all went well."""
    made, outputs = [], []
    for number in range(300):
        status = 200 if number < 30 else STATUSES[number * 7 % len(STATUSES)]
        start = NOW_US - number * DAY_US // 30
        output = exchange(Place(number + 1, 0), start, salt=str(number), status=status)
        outputs.append(output)
        made.append((output.events[0].id, start, status))
    writer = open_sink(sink, TurnedClock(NOW_US))
    await writer.write(JOURNAL, outputs, Place(301, 0))
    await writer.close()
    return sorted(made)


def is_asked(asked: str, status: int | None) -> bool:
    return status is not None and any(one in (str(status), f"{status // 100}xx") for one in asked.split(","))


@pytest.mark.slow
@pytest.mark.parametrize("asked", ASKED)
async def test_pages_have_what_a_look_at_every_row_finds(sink: Sink, stored: Stored, asked: str) -> None:
    engine = open_engine(sink)
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
async def test_each_status_is_read_by_its_index_in_order(sink: Sink, stored: Stored, order: str) -> None:
    query = ExchangeQuery.model_validate({"status": "5xx", "order": order})
    asked = status_queries.Asked(query, span(None, None, NOW_US), stored[200][0], 101)
    server = sink.url.startswith("postgresql")
    found = await explained(sink, status_queries.first(asked, [500, 503], "postgresql" if server else "sqlite"))
    if server:
        assert not re.search(r"pkey|Seq Scan", found), found
        assert re.search(r"Index Cond: \(\(?.*status >= ", found), found
    else:
        assert found.count("SEARCH exchanges USING INDEX ix_exchanges_odd_status (status>? AND status<?)") == 2, found
        assert "SCAN exchanges" not in found


async def test_which_statuses_there_are_is_read_out_of_the_index(sink: Sink, stored: Stored) -> None:
    engine = open_engine(sink)
    async with engine.connect() as connection:
        there = [row[0] for row in await connection.execute(status_queries.there())]
    await engine.dispose()
    assert there == sorted({status for *_, status in stored if status not in (200, None)})
    assert not re.search(r"Seq Scan|SCAN (exchanges|e)\b", await explained(sink, status_queries.there()))


async def explained(sink: Sink, statement: Statement | TextClause) -> str:
    """The plan, on a server as if sorting and reading all were dear: there is not much in it."""
    engine = open_engine(sink)
    async with engine.connect() as connection:
        sql = str(statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
        server = engine.dialect.name == "postgresql"
        for way in ("seqscan", "bitmapscan", "sort") if server else ():
            await connection.execute(text(f"SET enable_{way} = off"))
        rows = (await connection.exec_driver_sql(f"EXPLAIN {'' if server else 'QUERY PLAN '}{sql}")).all()
    await engine.dispose()
    return "\n".join(str(row[-1]) for row in rows)


def test_a_damaged_status_is_none_that_is_asked_for() -> None:
    asked = ExchangeQuery.model_validate({"status": "5xx,404"}).status
    assert asked is not None
    assert status_queries.among(asked, [404, 503, "5xx", b"503", 5.03, None]) == [404, 503]


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
