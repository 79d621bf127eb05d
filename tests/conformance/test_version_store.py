"""What holds for every store of services' versions: memory (the reference), SQLite, Postgres and Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collector.clock import SystemClock
from collector.demo.kafka_broker import KafkaBroker
from collector.enrich.catalogue import Catalogue
from collector.enrich.kafka import KafkaVersionStore
from collector.enrich.sql import SqlVersionStore
from collector.enrich.store import MemoryVersionStore, VersionStore, identity
from collector.enrich.version import ServiceVersion
from collector.errors import PermanentError, RetryableError
from collector.settings import Kafka, Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.schema import service_versions
from tests.support.kafka import create_topic, new_topics, read_all, settings_for

Open = Callable[[], VersionStore]


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow), pytest.param("kafka", marks=pytest.mark.slow)]
)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens one more store on the same data."""
    make, stores = await BEDS[request.param](request, tmp_path), AsyncExitStack()

    def another() -> VersionStore:
        store = make()
        stores.push_async_callback(store.close)
        return store

    async with stores:
        yield another


async def memory(_request: pytest.FixtureRequest, _folder: Path) -> Open:
    rows = MemoryVersionStore()
    return lambda: MemoryVersionStore(rows)


async def sqlite(_request: pytest.FixtureRequest, folder: Path) -> Open:
    url = f"sqlite:///{folder}/events.db"
    await asyncio.to_thread(migrate, url)
    return lambda: OwnEngine(url)


async def postgres(request: pytest.FixtureRequest, _folder: Path) -> Open:
    url = request.getfixturevalue("database").url
    return lambda: OwnEngine(url)


async def kafka_topic(request: pytest.FixtureRequest, _folder: Path) -> Open:
    settings = await new_topics(request.getfixturevalue("kafka").bootstrap, 3)
    return lambda: KafkaVersionStore(settings)


BEDS = {"memory": memory, "sqlite": sqlite, "postgres": postgres, "kafka": kafka_topic}


class OwnEngine(SqlVersionStore):
    """A store with connections of its own."""

    def __init__(self, url: str) -> None:
        super().__init__(open_engine(Sink(url=url)), service_versions, SystemClock())

    async def close(self) -> None:
        await self._engine.dispose()


def version(number: int, since_us: int, **more: Any) -> ServiceVersion:
    made = ServiceVersion("models", "llama", "InferenceService", "u1", str(number), number, since_us, annotations={"team": f"t{number}"})
    return replace(made, **more)


def catalogue(versions: Any) -> Catalogue:
    """What a reader makes of them."""
    made = Catalogue()
    for one in versions:
        made.apply(one)
    return made


def names(versions: Any) -> list[str]:
    return sorted({one.resource_version for one in versions})


async def test_what_was_saved_another_loads(opened: Open) -> None:
    full = version(1, 10, labels={"a": "b"}, logger_mode="all", metadata_headers=("x-user",), model={"format": "vllm"})
    named = version(2, 20, metadata_annotations=("team",), name="größe", uid="static:InferenceService/models/größe")
    ended = version(3, 20).tombstone("4", 30)
    await opened().save([full, named, ended])
    assert sorted(await opened().load(), key=lambda v: (v.since_us, v.name)) == [full, named, ended]


async def test_the_same_version_again_keeps_the_earlier_time_and_the_newer_content(opened: Open) -> None:
    mine, theirs = opened(), opened()
    await mine.save([version(1, 10)])
    await theirs.save([version(1, 50, annotations={"team": "new"})])
    (loaded,) = catalogue(await opened().load()).services()
    assert (loaded.since_us, loaded.annotations) == (10, {"team": "new"})


async def test_news_is_what_was_saved_since_by_whomever(opened: Open) -> None:
    mine, theirs = opened(), opened()
    reader = catalogue(await mine.load())
    await theirs.save([version(1, 10)])
    assert [reader.apply(one) for one in await mine.news()] == [True]
    await mine.save([version(2, 20)])
    await theirs.save([version(2, 21), version(3, 30)])
    assert {one.resource_version for one in await mine.news() if reader.apply(one)} == {"2", "3"}
    assert [one for one in await mine.news() if reader.apply(one)] == []


async def test_pruning_keeps_what_was_in_force_then_and_all_that_came_later(opened: Open) -> None:
    store = opened()
    gone = {"name": "gone", "uid": "u2"}
    await store.save([*(version(n, n * 10_000_000) for n in (1, 2, 3, 4)), version(5, 5, **gone), version(6, 6, **gone).tombstone("7", 7)])
    assert await store.prune(25_000_000, 64) == 3
    assert names(await opened().load()) == ["2", "3", "4"]
    assert await store.prune(25_000_000, 64) == 0


async def test_pruning_keeps_the_newest_of_a_living_service_however_old(opened: Open) -> None:
    store = opened()
    await store.save([version(1, 10_000_000), version(2, 20_000_000)])
    assert await store.prune(10**15, 64) == 1
    assert names(await opened().load()) == ["2"]


async def test_pruning_keeps_so_many_of_each_service(opened: Open) -> None:
    store = opened()
    await store.save([version(n, n * 10_000_000) for n in range(1, 8)])
    assert await store.prune(0, 3) == 4
    assert names(await opened().load()) == ["5", "6", "7"]


async def test_what_was_pruned_is_no_news(opened: Open) -> None:
    mine, theirs = opened(), opened()
    await theirs.save([version(n, n * 10_000_000) for n in (1, 2)])
    reader = catalogue(await mine.load())
    await theirs.prune(10**15, 64)
    assert [one for one in await mine.news() if reader.apply(one)] == []
    await theirs.save([version(3, 30_000_000)])
    assert names(one for one in await mine.news() if reader.apply(one)) == ["3"]


@pytest.fixture
async def topic(kafka: KafkaBroker) -> Kafka:
    return await new_topics(kafka.bootstrap, 2, max_record_bytes=65_536)


@pytest.mark.slow
async def test_a_version_larger_than_a_record_is_refused_by_name(topic: Kafka) -> None:
    store = KafkaVersionStore(topic)
    with pytest.raises(PermanentError, match=r"models/llama has \d+ bytes"):
        await store.save([version(1, 10, annotations={"a": "x" * 70_000})])
    await store.close()


@pytest.mark.slow
async def test_what_is_no_version_is_passed_over(topic: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    from aiokafka import AIOKafkaProducer

    async with AIOKafkaProducer(bootstrap_servers=topic.bootstrap_servers) as producer:
        for key, value in ((b"foreign", b"{}"), (b"7", b"x"), (b'["a","b","c","d","e",false,1]', b"no json")):
            await producer.send_and_wait(topic.services_topic, value, key=key)
    store = KafkaVersionStore(topic)
    await store.save([version(1, 10)])
    assert names(await store.load()) == ["1"]
    assert caplog.text.count("holds no version of a service at offset") == 3
    assert await store.prune(0, 64) == 0
    await store.close()


@pytest.mark.slow
async def test_without_the_topic_it_says_what_to_do_and_works_once_it_is_there(kafka: KafkaBroker) -> None:
    settings = settings_for(kafka.bootstrap)
    store = KafkaVersionStore(settings)
    with pytest.raises(RetryableError, match="meshscribe kafka topics --create"):
        await store.load()
    await create_topic(kafka.bootstrap, settings.services_topic, 2, {"cleanup.policy": "compact", "max.message.bytes": "20000000"})
    await store.save([version(1, 10)])
    assert names(await store.load()) == ["1"]
    await store.close()


@pytest.mark.slow
async def test_a_pruned_version_is_a_tombstone_in_the_topic(topic: Kafka) -> None:
    store = KafkaVersionStore(topic)
    old = version(1, 10_000_000)
    await store.save([old, replace(old, since_us=10_000_005), version(2, 20_000_000)])
    await store.prune(10**15, 64)
    records = await read_all(topic.bootstrap_servers, topic.services_topic)
    left = {record.key: record.value for record in records}
    assert sorted(value is None for value in left.values()) == [False, True, True]
    assert [identity(one) for one in await store.load()][-1] == ("u1", "2", False)
    await store.close()


async def test_a_server_that_is_away_is_retryable() -> None:
    store = KafkaVersionStore(Kafka(bootstrap_servers="127.0.0.1:1"))
    for attempt in (store.load(), store.news(), store.save([version(1, 10)]), store.prune(0, 64)):
        with pytest.raises(RetryableError):
            await attempt
    await store.close()
