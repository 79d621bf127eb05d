"""The directory on a real store: what it loads, keeps, prunes and shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from collector.enrich.directory import DAY_US, Directory
from collector.enrich.store import MemoryVersionStore
from collector.enrich.version import ServiceVersion
from collector.errors import RetryableError
from collector.settings import Services
from tests.enrich.versions import tombstone, version
from tests.support.clocks import Sleeping
from tests.support.waits import until_holds

NOW = 1_000 * DAY_US
FILE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, namespace: lab, uid: u9, annotations: {team: red, secret: s}}
"""


class Clock(Sleeping):
    def __init__(self) -> None:
        self.us = NOW

    def now_us(self) -> int:
        return self.us

    def monotonic_us(self) -> int:
        return self.us


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def started(stack: AsyncExitStack, directory: Directory) -> Directory:
    await directory.start()
    stack.push_async_callback(directory.stop)
    return directory


async def filled(*versions: ServiceVersion) -> MemoryVersionStore:
    store = MemoryVersionStore()
    await store.save(versions)
    return store


def numbers(versions: Sequence[ServiceVersion]) -> list[str]:
    return sorted(one.resource_version for one in versions)


GONE = {"name": "gone", "uid": "uid-2"}
OLD = (version(NOW - 200 * DAY_US, 1), version(NOW - 100 * DAY_US, 2))
NEW = (version(NOW - 50 * DAY_US, 3), version(NOW - 1 * DAY_US, 4))
ENDED = (version(NOW - 200 * DAY_US, 5, **GONE), tombstone(NOW - 95 * DAY_US, 6, **GONE))


async def test_what_no_exchange_that_is_kept_can_have_met_is_pruned_in_memory_and_in_the_store(stack: AsyncExitStack) -> None:
    store = await filled(*OLD, *NEW, *ENDED)
    directory = await started(stack, Directory(Services(source="none"), store, Clock()))
    await until_holds(lambda: len(directory.catalogue) == 3)
    kept = directory.kept()
    assert kept is not None
    await until_holds(lambda: directory.kept().pruned == 3)  # type: ignore[union-attr]
    assert numbers(await MemoryVersionStore(store).load()) == ["2", "3", "4"]
    at = directory.catalogue.as_of("models", "llama", NOW - 60 * DAY_US)
    assert at is not None
    assert at.resource_version == "2"


async def test_versions_are_kept_as_long_as_exchanges_are(stack: AsyncExitStack) -> None:
    store = await filled(*OLD, *NEW, *ENDED)
    directory = await started(stack, Directory(Services(source="none", history_days=1), store, Clock(), retention_days=150))
    await directory.prune()
    assert numbers(await MemoryVersionStore(store).load()) == ["1", "2", "3", "4", "5", "6"]


async def test_pruning_goes_on_as_time_passes_and_keeps_the_newest_of_the_living(stack: AsyncExitStack) -> None:
    clock, store = Clock(), await filled(*NEW)
    clock.longest_sleep = 0.01
    directory = await started(stack, Directory(Services(source="none"), store, clock))
    await directory.prune()
    assert len(directory.catalogue) == 2
    clock.us += 3650 * DAY_US
    await until_holds(lambda: len(directory.catalogue) == 1)
    await until_holds(lambda: directory.kept().pruned == 1)  # type: ignore[union-attr]
    assert numbers(directory.catalogue.services()) == numbers(await MemoryVersionStore(store).load()) == ["4"]


async def test_a_year_of_changes_stays_within_the_bound_in_memory_and_in_the_store(stack: AsyncExitStack) -> None:
    store = MemoryVersionStore()
    directory = await started(stack, Directory(Services(source="none", history=8), store, Clock()))
    for day in range(365):
        await store.save([version(NOW + day * DAY_US + hour, day * 24 + hour) for hour in range(24)])
        if day % 30 == 29:
            await directory.prune()
            assert len(await MemoryVersionStore(store).load()) == 8
    assert len(directory.catalogue) <= 8


async def test_one_who_only_reads_the_store_prunes_nothing_in_it(stack: AsyncExitStack) -> None:
    store = await filled(*OLD, *NEW)
    directory = await started(stack, Directory(Services(source="none"), store, Clock(), prunes=False))
    await directory.prune()
    assert len(await MemoryVersionStore(store).load()) == 4
    assert len(directory.catalogue) == 3


class Sick(MemoryVersionStore):
    """Answers when `well`."""

    well = False

    async def news(self) -> list[ServiceVersion]:
        if not self.well:
            raise RetryableError("the store is away")
        return await super().news()


async def test_a_store_that_was_away_at_the_start_is_loaded_later_and_what_ended_meanwhile_ends(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(FILE)
    store = Sick(await filled(version(5, 1), version(6, 2, namespace="lab", name="iris", uid="u9")))
    directory = await started(stack, Directory(Services(source="file", file=file, refresh_seconds=0.01), store, Clock()))
    await until_holds(lambda: directory.catalogue.knows("lab", "iris"))
    assert not directory.catalogue.knows("models", "llama")
    assert "the store is away" in directory.component().detail
    store.well = True
    await until_holds(lambda: directory.catalogue.knows("models", "llama"))
    await until_holds(lambda: [one.name for one in directory.catalogue.services()] == ["iris"])
    assert directory.component().ok


async def test_versions_are_copied_from_one_store_to_another_as_they_are(stack: AsyncExitStack) -> None:
    topic, sql = await filled(version(1, 1), version(2, 2)), await filled(version(1, 1))
    follows = Directory(Services(source="none", refresh_seconds=0.01), sql, Clock(), follows=MemoryVersionStore(topic))
    directory = await started(stack, follows)
    await topic.save([version(3, 3)])
    await until_holds(lambda: directory.kept().saved == 2)  # type: ignore[union-attr]
    assert await MemoryVersionStore(sql).load() == await MemoryVersionStore(topic).load()
    assert directory.component().ok


async def test_a_store_that_cannot_be_followed_for_a_while_costs_nothing(stack: AsyncExitStack) -> None:
    topic, sql = Sick(await filled(version(1, 1))), MemoryVersionStore()
    directory = await started(stack, Directory(Services(source="none", refresh_seconds=0.01), sql, Clock(), follows=topic))
    await until_holds(lambda: "the store is away" in directory.component().detail)
    assert directory.component().ok
    topic.well = True
    await until_holds(lambda: directory.kept().saved == 1)  # type: ignore[union-attr]
    assert "away" not in directory.component().detail
