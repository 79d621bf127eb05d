"""Who looked goes to Kafka as the API tells it: each look once, in the order in which it was written, from either store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look import LOOK_TYPE, Look, document, made
from collector.access.look_expiry import LookExpiry
from collector.access.look_relay import LOOKS, LookFeed, look_at_looks
from collector.access.look_writer import LookWriter
from collector.access.looker import Person
from collector.clock import SystemClock
from collector.demo.kafka_broker import KafkaBroker
from collector.errors import SettingsError
from collector.messages.event import Place
from collector.metrics import RelayMetrics
from collector.relays.start import Relays, start_relays
from collector.roles.audit_api import look_relays
from collector.roles.parts import Starting
from collector.settings import Access, Kafka, Settings, Sink, load
from collector.sinks.protocol import BEGINNING
from collector.store.engine import open_engine, open_looks
from collector.store.migrate import migrate
from collector.store.schema import looks, looks_placed
from tests.support.kafka import new_topics, read_all
from tests.support.waits import until_holds

NOW = 1_763_800_000_123_456
DAY_US = 86_400_000_000


def look(number: int, time_us: int = NOW) -> Look:
    asked = ("GET", "/v1/exchanges", f"namespace=shop&limit={number}")
    return made(time_us + number, b"%d" % number, Person("ada", "oidc"), "10.1.2.9", asked, "list", 200, 1, (f"of-{number}",), "")


@pytest.fixture(params=["sqlite", "postgres"])
def sink(request: pytest.FixtureRequest) -> Sink:
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/events.db"
        migrate(url)
    else:
        url = request.getfixturevalue("database").url
    return Sink(url=url)


@asynccontextmanager
async def writing(sink: Sink) -> AsyncIterator[tuple[LookWriter, AsyncEngine]]:
    engine = open_looks(sink)
    writer = LookWriter(engine, SystemClock(), CollectorRegistry(), 30.0)
    writer.start()
    yield writer, engine
    await writer.stop()
    await engine.dispose()


async def write(sink: Sink, *numbers: int) -> None:
    async with writing(sink) as (writer, _):
        await asyncio.gather(*(writer.write(look(number)) for number in numbers))


async def test_looks_come_in_the_order_in_which_they_were_written_whoever_wrote_them(sink: Sink) -> None:
    feed = LookFeed(open_engine(sink))
    assert await feed.journals() == [LOOKS]
    assert (await feed.read(LOOKS, BEGINNING)).outputs == []
    found: list[str] = []
    at = BEGINNING
    written = asyncio.gather(write(sink, *range(40)), write(sink, *range(100, 140)))
    while len(found) < 80:
        read = await feed.read(LOOKS, at)
        assert read.place >= at
        assert [output.place for output in read.outputs] == sorted(output.place for output in read.outputs)
        found += [output.events[0].id for output in read.outputs]
        at = read.place
    await written
    assert sorted(found) == sorted(look(number).id for number in (*range(40), *range(100, 140)))
    assert (await feed.read(LOOKS, at)).place == at == await feed.high(LOOKS)
    await feed.close()


async def test_a_look_that_is_written_again_has_one_position(sink: Sink) -> None:
    """After a transaction of which it is not known whether it was done."""
    await write(sink, 1, 2)
    await write(sink, 2, 3)
    engine = open_engine(sink)
    async with engine.connect() as connection:
        placed = list((await connection.execute(select(looks_placed.c.look).order_by(looks_placed.c.position))).scalars())
    assert placed == [look(number).id for number in (1, 2, 3)]
    await engine.dispose()


async def test_positions_end_with_their_looks_and_none_is_used_again(sink: Sink) -> None:
    await write(sink, 1, 2)
    async with writing(sink) as (_, engine):
        days = NOW // DAY_US
        assert [ended.rows async for ended in LookExpiry(engine).end(days + 1)] == [2]
        async with engine.connect() as connection:
            assert (await connection.execute(select(looks_placed))).all() == []
    await write(sink, 3)
    feed = LookFeed(open_engine(sink))
    assert [output.place for output in (await feed.read(LOOKS, Place(2, 0))).outputs] == [Place(3, 0)]
    await feed.close()


async def test_a_look_that_is_hit_by_damage_or_ended_by_retention_holds_nothing_up(sink: Sink) -> None:
    await write(sink, 1, 2, 3)
    async with writing(sink) as (_, engine), engine.begin() as connection:
        await connection.execute(update(looks).where(looks.c.id == look(2).id).values(exchanges=b"\x00"))
        await connection.execute(delete(looks).where(looks.c.id == look(3).id))
    feed = LookFeed(open_engine(sink))
    read = await feed.read(LOOKS, BEGINNING)
    assert [output.events[0].id for output in read.outputs] == [look(1).id, look(2).id]
    assert (list(read.damaged), read.place) == ([], Place(3, 0))
    await feed.close()


async def until_copied(settings: Settings, number: int) -> None:
    async def is_there() -> bool:
        reached = await look_at_looks(settings)
        return (reached.place.position, reached.behind) == (number, 0)

    await until_holds(is_there)


def started(settings: Settings) -> Relays:
    starting = Starting(settings, SystemClock(), None, None, None, None)  # type: ignore[arg-type]
    return start_relays(settings, SystemClock(), RelayMetrics(CollectorRegistry()), look_relays(starting))


async def test_kafka_has_each_look_once_as_the_api_tells_it(sink: Sink, kafka: KafkaBroker) -> None:
    topics = await new_topics(kafka.bootstrap, 2)
    settings = Settings(sink=sink, kafka=topics, access=Access(to_kafka=True))
    await write(sink, *range(10))
    for more in ((), range(10, 15)):
        relays = started(settings)
        await write(sink, *more)
        await until_copied(settings, 10 + len(more))
        await relays.stop()  # and begins again where it was
    records = await read_all(kafka.bootstrap, topics.access_topic)
    told = {json.loads(record.value)["id"]: json.loads(record.value) for record in records}
    assert len(records) == len(told)
    assert told == {look(number).id: document(look(number)) for number in range(15)}
    headers = dict(records[0].headers)
    assert (headers["ce_type"], headers["ce_id"].decode()) == (LOOK_TYPE.encode(), json.loads(records[0].value)["id"])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, "kafka.bootstrap_servers is needed"),
        ({"kafka": Kafka(bootstrap_servers="k:9092"), "sink": Sink(url="kafka:")}, "answers no queries"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Settings(access=Access(to_kafka=True), **changes)


def test_a_relay_of_this_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "access: {to_kafka: true}\nkafka: {bootstrap_servers: 'k:9092'}\nrelays: [{name: looks, to: kafka}]\n", encoding="utf-8"
    )
    with pytest.raises(SettingsError, match="a relay of this name itself"):
        load(tmp_path / "m.yaml")
