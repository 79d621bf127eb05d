"""A store that was filled from the topics says what one that the pipeline fills says: columns, sums of usage, what filters find."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from collector.audit.marked import Bounds, Sought, find
from collector.audit.moments import Span
from collector.audit.parameters import ExchangeQuery
from collector.demo.kafka_broker import KafkaBroker
from collector.messages.event import Output, Place
from collector.settings import Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.schema import exchanges, usage_days, usage_hours, usage_keys
from tests.audit.test_marks import said
from tests.store.test_usage_sums import billed, output, record
from tests.support.events import JOURNAL
from tests.support.kafka import new_topics
from tests.support.outputs import chats, outputs
from tests.support.relays import KafkaOrigin, Letters, SqlEnd, SqlOrigin, events_of, moved, relay
from tests.support.sql import rows

OWN = {"journal", "position", "ordinal"}  # a topic's partition is a journal of its own


def records() -> list[dict[str, Any]]:
    """Of calls with and without usage, some revised, each found by other filters."""
    chance = random.Random(7)
    told = [record(number, revision, chance) for number in range(40) for revision in range(chance.randrange(1, 4))]
    found = [{**said(number), **of, "trace": {"trace_id": f"{number:032x}"}} for number, of in enumerate(told)]
    for number, of in enumerate(found):
        of["inference"] = {**said(number)["inference"], **of["inference"]}
        of["inference"]["model_requested"] = f"m-{chance.randrange(8)}"  # no text that a server cannot hold
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("database").url)
    url = f"sqlite:///{request.getfixturevalue('tmp_path')}/from_topics.db"
    migrate(url)
    return url


@pytest.fixture
def written(tmp_path: Any) -> SqlOrigin:
    """A store that the pipeline writes to."""
    migrate(f"sqlite:///{tmp_path}/written.db")
    return SqlOrigin(f"sqlite:///{tmp_path}/written.db")


async def said_by(settings: Sink) -> list[set[tuple[Any, ...]]]:
    """All that a store says of exchanges and their usage."""
    columns = [column for column in exchanges.columns if column.name not in OWN]
    said = [{tuple(row) for row in await rows(settings, select(*columns))}]
    keys = {key.id: tuple(key) for key in await rows(settings, select(usage_keys))}
    for table in (usage_hours, usage_days):
        counted = [row for row in await rows(settings, select(table)) if any(row[2:])]  # what a revision took back leaves zeros
        said.append({(keys[row.key], *row) for row in counted})
    return said


async def found(settings: Sink, made: Sequence[str]) -> list[list[str]]:
    """What the index of marks finds of each trace: hardly a row is looked at first."""
    engine = open_engine(settings)
    async with engine.connect() as connection:
        pages = [await find(connection, Sought(ExchangeQuery(trace=trace), Span(), bounds=Bounds(1, 1, 50)), None, 5) for trace in made]
    await engine.dispose()
    return [[row.id for row in page.rows] for page in pages]


async def fill(kafka: KafkaBroker, target: str, made: list[Output]) -> SqlEnd:
    """Into the topics, and from there into the store."""
    origin, end, letters = KafkaOrigin(await new_topics(kafka.bootstrap, 2)), SqlEnd(target, lambda: None, lambda: None), Letters()
    await origin.fill(JOURNAL, made)
    async with relay(origin, end, letters) as copying:
        await moved(copying, end, [event.id for event in events_of(made, origin, end)])
    assert letters.held == {}
    return end


async def test_what_the_pipeline_makes(kafka: KafkaBroker, target: str, written: SqlOrigin) -> None:
    made = outputs(chats(30))
    await written.fill(JOURNAL, made)
    end = await fill(kafka, target, made)
    said = await said_by(end.settings)
    assert said == await said_by(written.settings)
    assert sum(row[0] is not None for row in await rows(end.settings, select(exchanges.c.marks))) == 30
    assert sum(row.calls for row in await rows(end.settings, select(usage_days))) == 30


async def test_usage_and_marks_of_many_kinds_and_of_revisions(kafka: KafkaBroker, target: str, written: SqlOrigin) -> None:
    told = records()
    made = [output(of, Place(n, 0)) for n, of in enumerate(told, 1)]
    await written.fill(JOURNAL, made)
    end = await fill(kafka, target, made)
    for from_topics, from_pipeline in zip(await said_by(end.settings), await said_by(written.settings), strict=True):
        assert from_topics == from_pipeline
    newest = {of["id"]: of for of in told}
    expected = billed(list(newest.values()))
    for table in (usage_hours, usage_days):
        sums = Counter[str]()
        for row in await rows(end.settings, select(table)):
            sums.update({name: getattr(row, name) for name in expected})
        assert +sums == expected
    traces = [of["trace"]["trace_id"] for of in newest.values()]
    assert [len(ids) for ids in await found(end.settings, traces)] == [1] * len(newest)
