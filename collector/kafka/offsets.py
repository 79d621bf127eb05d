"""Committed offsets, where groups keep their places: read from outside, mended after a broker's death, and kept from being forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from collector.errors import MeshscribeError, blamed
from collector.kafka.clients import admin
from collector.kafka.private import enlist
from collector.settings import Kafka
from collector.tasks import cancel

log = logging.getLogger("meshscribe.kafka")

DAY_SECONDS = 86_400.0


async def committed(settings: Kafka, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
    """The group's committed offsets with their metadata. Disturbs nobody of the group.

    Raises KafkaError of aiokafka, and TimeoutError: it was not answered within the settings' time, as where an ACL is missing.
    """
    async with asyncio.timeout(settings.timeout_seconds), admin(settings) as client:
        while True:
            try:
                found = await client.list_consumer_group_offsets(group, partitions=list(partitions))
            except KafkaError as error:
                if not error.retriable:
                    raise
            else:
                if all(part in found for part in partitions):  # an answer without them is an error that aiokafka does not tell
                    return {part: value for part, value in found.items() if value.offset >= 0}
            await asyncio.sleep(0.1)


class Mending(NamedTuple):
    """Completes what a killed broker left half marked. `group`: whose offsets are committed with records in `topics`. `aside`: a
    partition whose offset nobody reads.

    Seen with Kafka 4.3.1, one node, killed with SIGKILL while it ended a transaction: it had acknowledged the commit, called the
    transaction complete in its own log after the restart, and had written the mark into none of its partitions. The records and the
    group's offset are then neither committed nor aborted, the place reads as if nothing had been written, and the mark of the next
    transaction lets all of it in: twice. So before a place is read, a transaction without records is committed over all that an earlier
    one may have touched. What was to be aborted and was left unmarked comes in as well, as it would with any next transaction.
    A process that is killed itself in the midst of this has what it named aborted. So the group is named before the records: what the
    broker had left half marked is then written again (with the same ids), where it would be lost the other way round.
    """

    group: str
    topics: Sequence[str]
    aside: TopicPartition

    async def mend(self, producer: AIOKafkaProducer) -> None:
        """Raises KafkaError and TimeoutError of aiokafka."""
        places = [TopicPartition(topic, number) for topic in self.topics for number in await producer.partitions_for(topic)]
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({self.aside: OffsetAndMetadata(0, "")}, self.group)  # first: see above
        for place in places:  # at once, so that one request names them all
            enlist(producer, place)
        await producer.commit_transaction()


def mending(group: str, topics: Sequence[str], place: TopicPartition) -> Mending | None:
    """For a group that keeps its place at `place`; None if no other topic is there to take the offset that nobody reads."""
    others = [topic for topic in topics if topic != place.topic]
    return Mending(group, topics, TopicPartition(others[0], 0)) if others else None


class Keeper:
    """Calls `keep`, which commits places again, once a day from the first `start` on, until `stop`: brokers forget a group's offsets seven
    days after its last commit (`offsets.retention.minutes`). What fails is tried again the next day: there are seven.
    """

    def __init__(self, keep: Callable[[], Awaitable[None]], every_seconds: float = DAY_SECONDS) -> None:
        self._keep, self._every_seconds = keep, every_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Once is enough; may be repeated. To be called in the event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await cancel(task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self._keep()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next day is another one
                why = str(error) if isinstance(error, MeshscribeError) else blamed(error)
                log.warning("places could not be committed again, which is tried once more tomorrow: %s", why)
