"""One partition's pipeline, and what a second owner of the same partition does to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest

from collector.clock import SystemClock
from collector.demo.kafka_broker import KafkaBroker
from collector.enrich.directory import Directory
from collector.errors import FencedError
from collector.journal.kafka_topic import RawTopic, find_raw_topic
from collector.journal.kafka_writer import RawWriter
from collector.kafka.cloudevents import decode
from collector.messages.entry import Kind
from collector.roles.process import PartitionPipeline
from collector.settings import Settings
from tests.support.kafka import new_topics, read_all
from tests.support.witnesses import NODE, Told, Vm, parts


class Bed(NamedTuple):
    settings: Settings
    topic: RawTopic
    writer: RawWriter
    directory: Directory
    vm: Vm

    def owner(self) -> PartitionPipeline:
        return PartitionPipeline(self.settings, self.topic, 0, self.writer, self.directory, SystemClock())

    async def tell(self, first: int, count: int) -> None:
        """So many exchanges, each in a batch of its own."""
        for number in range(first, first + count):
            batch = self.vm.seal(parts(Told(number, request_id=f"r-{number}", downstream=f"10.0.0.9:{number}")))
            await self.writer.append(Kind.TAP, NODE, batch.SerializeToString())

    async def requests(self) -> list[str]:
        """The request ids of all exchange events that a read_committed consumer sees."""
        kafka = self.settings.kafka
        records = await read_all(kafka.bootstrap_servers, kafka.exchanges_topic)
        return sorted(str(decode(record.headers, record.value).event.columns.request_id) for record in records)

    async def has(self, count: int) -> list[str]:
        """The request ids once there are so many."""
        while len(found := await self.requests()) < count:
            await asyncio.sleep(0.05)
        return found


@pytest.fixture
async def bed(kafka: KafkaBroker) -> AsyncIterator[Bed]:
    async with AsyncExitStack() as stack:
        settings = Settings(
            role="process",
            kafka=await new_topics(kafka.bootstrap, 1),
            services={"source": "none"},
            correlate={"expect": "tap"},
            journal={"checkpoint_seconds": 0.2},
        )
        topic = await find_raw_topic(settings.kafka)
        writer = RawWriter(settings.kafka, topic, SystemClock(), 1 << 26)
        stack.push_async_callback(writer.close)
        directory = Directory(settings.services, None, SystemClock())
        await directory.start()
        stack.push_async_callback(directory.stop)
        yield Bed(settings, topic, writer, directory, Vm())


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_the_next_owner_fences_the_last_and_goes_on_where_it_was(bed: Bed) -> None:
    old = asyncio.create_task(bed.owner().run())
    await bed.tell(1, 20)
    assert len(await bed.has(20)) == 20
    new = asyncio.create_task(bed.owner().run())
    await bed.tell(21, 20)
    assert len(await bed.has(40)) == 40
    await bed.tell(41, 20)
    await asyncio.wait({old})
    with pytest.raises((FencedError, ExceptionGroup)) as caught:
        old.result()
    assert caught.group_contains(FencedError) if isinstance(caught.value, ExceptionGroup) else True
    assert await bed.has(60) == sorted(f"r-{n}" for n in range(1, 61))
    await ended(new)


async def test_an_owner_begins_again_with_its_last_checkpoint(bed: Bed) -> None:
    owner = bed.owner()
    first = asyncio.create_task(owner.run())
    await bed.tell(1, 20)
    await bed.has(20)
    assert owner.journal is not None
    while await owner.journal.checkpoint(1 << 60) is None:
        await asyncio.sleep(0.05)
    await ended(first)
    second = asyncio.create_task(owner.run())
    await bed.tell(21, 5)
    assert await bed.has(25) == sorted(f"r-{n}" for n in range(1, 26))
    assert owner.pipeline is not None
    assert owner.pipeline.fed >= 25
    await ended(second)


async def test_a_receiver_that_repeats_a_batch_makes_no_second_exchange(bed: Bed) -> None:
    owner = asyncio.create_task(bed.owner().run())
    batch = bed.vm.seal(parts(Told(1, request_id="r-1"))).SerializeToString()
    for _ in range(3):
        await bed.writer.append(Kind.TAP, NODE, batch)
    await bed.tell(2, 3)
    assert await bed.has(4) == ["r-1", "r-2", "r-3", "r-4"]
    await ended(owner)
