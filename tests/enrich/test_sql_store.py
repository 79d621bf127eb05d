"""The SQL store of versions behaves as the one in memory, which is the reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from collector.enrich.sql import SqlVersionStore
from collector.enrich.store import MemoryVersionStore, VersionStore
from collector.enrich.version import ServiceVersion
from collector.errors import RetryableError
from collector.sinks.migrate import migrate
from collector.sinks.schema import service_versions


class Turned:
    now = 1_000

    def now_us(self) -> int:
        return self.now


CLOCK = Turned()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    migrate(f"sqlite:///{tmp_path}/events.db")
    made = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/events.db")
    yield made
    await made.dispose()


@pytest.fixture(params=["memory", "sql"])
def store(request: pytest.FixtureRequest, engine: AsyncEngine) -> VersionStore:
    return MemoryVersionStore(CLOCK) if request.param == "memory" else SqlVersionStore(engine, service_versions, CLOCK)


def version(number: int, since_us: int, **more: object) -> ServiceVersion:
    made = ServiceVersion("models", "llama", "InferenceService", "u1", str(number), number, since_us, annotations={"team": f"t{number}"})
    return replace(made, **more)  # type: ignore[arg-type]


async def test_what_was_saved_is_loaded_again(store: VersionStore) -> None:
    full = version(1, 10, labels={"a": "b"}, logger_mode="all", metadata_headers=("x-user",), model={"format": "vllm"})
    ended = version(2, 20).tombstone("3", 30)
    await store.save([full, ended])
    assert sorted(await store.load(), key=lambda v: v.since_us) == [full, ended]


async def test_the_same_version_again_keeps_the_earlier_time_and_the_newer_content(store: VersionStore) -> None:
    await store.save([version(1, 10)])
    await store.save([version(1, 50, annotations={"team": "new"})])
    [loaded] = await store.load()
    assert (loaded.since_us, loaded.annotations) == (10, {"team": "new"})


async def test_only_what_was_saved_since_is_read_on_a_refresh(store: VersionStore) -> None:
    CLOCK.now = 1_000
    await store.save([version(1, 10)])
    CLOCK.now = 2_000
    await store.save([version(2, 20)])
    assert [v.resource_version for v in await store.load(1_500)] == ["2"]


async def test_pruning_keeps_what_was_in_force_then_and_all_that_came_later(store: VersionStore) -> None:
    await store.save([version(n, n * 10) for n in (1, 2, 3, 4)])
    assert await store.prune(25, 64) == 1
    assert sorted(v.resource_version for v in await store.load()) == ["2", "3", "4"]


async def test_a_store_that_does_not_answer_is_retryable(tmp_path: Path) -> None:
    made = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/absent/events.db")
    with pytest.raises(RetryableError):
        await SqlVersionStore(made, service_versions, CLOCK).load()
    await made.dispose()
