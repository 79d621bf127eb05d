from __future__ import annotations

import asyncio
from collections.abc import Sequence

from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import VersionKeeper
from collector.enrich.selection import Rules, Selection
from collector.enrich.store import MemoryVersionStore
from collector.enrich.version import ServiceVersion
from collector.errors import PermanentError, RetryableError
from tests.enrich.versions import version
from tests.support.clocks import RunningClock

CLOCK = RunningClock()


class Failing(MemoryVersionStore):
    """Raises what it is given, then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.batches: list[int] = []

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(len(versions))
        await super().save(versions)


async def test_what_is_taken_is_in_the_catalogue_at_once_and_in_the_store_soon() -> None:
    catalogue, store = Catalogue(), MemoryVersionStore()
    keeper = VersionKeeper(catalogue, store, CLOCK)
    task = asyncio.create_task(keeper.run())
    keeper.take(version(10, 1))
    assert catalogue.knows("models", "llama")
    await saved(keeper, 1)
    task.cancel()
    again = Catalogue()
    assert await VersionKeeper(again, store, CLOCK).load() == 1
    assert again.versions("models", "llama") == catalogue.versions("models", "llama")


async def test_a_store_that_fails_for_a_while_gets_all_of_it_in_order() -> None:
    store = Failing(RetryableError("down"), RetryableError("down"))
    keeper = VersionKeeper(Catalogue(), store, CLOCK, random=lambda: 0.0)
    for number in range(3):
        keeper.take(version(number, number))
    task = asyncio.create_task(keeper.run())
    await saved(keeper, 3)
    task.cancel()
    assert (keeper.status().failures, store.batches) == (2, [3])
    assert keeper.status().detail == ""


class Refusing(MemoryVersionStore):
    """Can never take one version, nor a batch with it."""

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        if any(one.resource_version == "3" for one in versions):
            raise PermanentError("too large")
        await super().save(versions)


async def test_a_version_that_the_store_refuses_is_counted_and_nothing_else_is_lost_with_it() -> None:
    store = Refusing()
    keeper = VersionKeeper(Catalogue(), store, CLOCK)
    for number in range(1, 8):
        keeper.take(version(number, number))
    await keeper.flush()
    status = keeper.status()
    assert (status.dropped, status.saved, status.waiting) == (1, 6, 0)
    assert sorted(v.resource_version for v in await store.load()) == ["1", "2", "4", "5", "6", "7"]


async def test_what_waits_is_bounded_and_what_is_dropped_is_counted() -> None:
    keeper = VersionKeeper(Catalogue(), Failing(), CLOCK, max_waiting=2)
    for number in range(5):
        keeper.take(version(number, number))
    assert (keeper.status().waiting, keeper.status().dropped) == (2, 3)


async def test_a_repeat_is_not_saved_again() -> None:
    keeper = VersionKeeper(Catalogue(), Failing(), CLOCK)
    keeper.take(version(1, 1))
    keeper.take(version(1, 1))
    assert keeper.status().waiting == 1


async def test_another_collectors_versions_come_with_a_refresh() -> None:
    store, catalogue = MemoryVersionStore(), Catalogue()
    mine, theirs = VersionKeeper(catalogue, store, CLOCK), VersionKeeper(Catalogue(), store, CLOCK)
    theirs.take(version(1, 1))
    await theirs.flush()
    assert await mine.load() == 1
    assert await mine.refresh() == 0
    theirs.take(version(2, 2))
    await theirs.flush()
    assert await mine.refresh() == 1
    assert len(catalogue) == 2


async def test_what_is_no_longer_allowed_is_not_taken_from_the_store() -> None:
    store, catalogue = MemoryVersionStore(), Catalogue()
    await store.save([version(1, 1, annotations={"team": "red", "owner": "ann", "cost": "42"}, metadata_annotations=("cost",))])
    allowed = Selection(annotations=Rules.parse(["team", "owner=hash"]))
    assert await VersionKeeper(catalogue, store, CLOCK, selection=allowed).load() == 1
    (loaded,) = catalogue.services()
    assert loaded.annotations.keys() == {"team", "owner", "cost"}
    assert loaded.annotations["owner"].startswith("blake2b:")
    narrower = Catalogue()
    await VersionKeeper(narrower, store, CLOCK, selection=Selection()).load()
    assert narrower.services()[0].annotations == {"cost": "42"}
    refreshed = Catalogue()
    await VersionKeeper(refreshed, MemoryVersionStore(store), CLOCK, selection=Selection(annotations=Rules.parse(["cost=drop"]))).refresh()
    assert refreshed.services()[0].annotations == {}


async def saved(keeper: VersionKeeper, count: int) -> None:
    async with asyncio.timeout(30):
        while keeper.status().saved < count:
            await asyncio.sleep(0.005)
