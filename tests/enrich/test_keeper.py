from __future__ import annotations

import asyncio
from collections.abc import Sequence

from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import VersionKeeper
from collector.enrich.store import MemoryVersionStore
from collector.enrich.version import ServiceVersion
from collector.errors import PermanentError, RetryableError
from tests.enrich.versions import tombstone, version


class Clock:
    def __init__(self) -> None:
        self.us = 1_000_000_000

    def now_us(self) -> int:
        return self.us


class Failing(MemoryVersionStore):
    """Raises what it is given, then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(Clock())
        self.errors = list(errors)
        self.batches: list[int] = []

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(len(versions))
        await super().save(versions)


async def test_what_is_taken_is_in_the_catalogue_at_once_and_in_the_store_soon() -> None:
    catalogue, store = Catalogue(), MemoryVersionStore(Clock())
    keeper = VersionKeeper(catalogue, store)
    task = asyncio.create_task(keeper.run())
    keeper.take(version(10, 1))
    assert catalogue.knows("models", "llama")
    await saved(keeper, 1)
    task.cancel()
    again = Catalogue()
    assert await VersionKeeper(again, store).load() == 1
    assert again.versions("models", "llama") == catalogue.versions("models", "llama")


async def test_a_store_that_fails_for_a_while_gets_all_of_it_in_order() -> None:
    store = Failing(RetryableError("down"), RetryableError("down"))
    keeper = VersionKeeper(Catalogue(), store, random=lambda: 0.0)
    for number in range(3):
        keeper.take(version(number, number))
    task = asyncio.create_task(keeper.run())
    await saved(keeper, 3)
    task.cancel()
    assert (keeper.status().failures, store.batches) == (2, [3])
    assert keeper.status().detail == ""


async def test_a_batch_that_the_store_refuses_is_counted_and_holds_up_nothing() -> None:
    keeper = VersionKeeper(Catalogue(), Failing(PermanentError("too large")))
    keeper.take(version(1, 1))
    await keeper.flush()
    keeper.take(version(2, 2))
    await keeper.flush()
    status = keeper.status()
    assert (status.dropped, status.saved, status.waiting) == (1, 1, 0)


async def test_what_waits_is_bounded_and_what_is_dropped_is_counted() -> None:
    keeper = VersionKeeper(Catalogue(), Failing(), max_waiting=2)
    for number in range(5):
        keeper.take(version(number, number))
    assert (keeper.status().waiting, keeper.status().dropped) == (2, 3)


async def test_a_repeat_is_not_saved_again() -> None:
    keeper = VersionKeeper(Catalogue(), Failing())
    keeper.take(version(1, 1))
    keeper.take(version(1, 1))
    assert keeper.status().waiting == 1


async def test_another_collectors_versions_come_with_a_refresh() -> None:
    clock = Clock()
    store = MemoryVersionStore(clock)
    mine, theirs = VersionKeeper(Catalogue(), store, clock=clock), VersionKeeper(Catalogue(), store, clock=clock)
    await mine.load()
    theirs.take(version(1, 1))
    await theirs.flush()
    assert await mine.refresh() == 1
    clock.us += 3_600_000_000
    assert await mine.refresh() == 0
    theirs.take(version(2, 2))
    await theirs.flush()
    assert await mine.refresh() == 1


async def test_the_store_keeps_the_earlier_time_and_the_newer_content() -> None:
    store = MemoryVersionStore(Clock())
    await store.save([version(10, 1, annotations={"secret": "s"})])
    await store.save([version(20, 1, annotations={})])
    (kept,) = await store.load()
    assert (kept.since_us, kept.annotations) == (10, {})


async def test_the_store_is_pruned_by_time_and_by_number() -> None:
    store = MemoryVersionStore(Clock())
    gone = {"name": "gone", "uid": "uid-2"}
    await store.save([*(version(n * 10, n) for n in range(1, 6)), version(5, 7, **gone), tombstone(15, 8, **gone)])
    assert await store.prune(before_us=25, history=2) == 5
    assert sorted(v.resource_version for v in await store.load()) == ["4", "5"]


async def saved(keeper: VersionKeeper, count: int) -> None:
    async with asyncio.timeout(30):
        while keeper.status().saved < count:
            await asyncio.sleep(0.005)
