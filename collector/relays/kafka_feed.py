"""The feed from Kafka: a read_committed consumer group; every partition of an events topic is a journal of its own, `topic:partition`.

A record at offset n has the place (n + 1, 0): a place's position is the offset to go on from. Where to go on is asked of the target, so
what the group has committed does not matter but for who watches its lag. One fetch per partition is held in memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import OffsetAndMetadata

from collector.errors import BadInputError, RetryableError
from collector.kafka.clients import end, start_member
from collector.kafka.cloudevents import decode
from collector.kafka.faults import meaning
from collector.messages.event import Output, Place
from collector.relays.protocol import Damaged, Read
from collector.settings import Kafka
from collector.sinks.protocol import BEGINNING

log = logging.getLogger("meshscribe.relay")

TOLD_SECONDS = 5.0  # between two commits of how far we are, for who watches the group
PATIENCE_MS = 86_400_000  # a target that is dead for long is no reason to leave the group


class KafkaFeed:
    """See protocol.Feed. `group`: the consumer group; its members share the partitions. `batch`: records."""

    def __init__(self, settings: Kafka, group: str, topics: Sequence[str], batch: int, batch_bytes: int) -> None:
        self._settings, self._group, self._topics = settings, group, sorted(set(topics))
        self._batch, self._batch_bytes = batch, batch_bytes
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[TopicPartition, int] = {}  # offset that the consumer gives next
        self._told: dict[TopicPartition, float] = {}
        self.generation = 0

    async def journals(self) -> Sequence[str]:
        """See Feed: those that the group gave to this process."""
        async with self._guarded() as consumer:
            return sorted(f"{at.topic}:{at.partition}" for at in consumer.assignment())

    async def high(self, journal: str) -> Place:
        """See Feed: as the last fetch told; the last stable offset."""
        async with self._guarded() as consumer:
            return Place(consumer.last_stable_offset(_partition(journal)) or 0, 0)

    async def read(self, journal: str, after: Place) -> Read:
        """See Feed. Raises RetryableError too if the topic ends before the place: it was made anew."""
        at = _partition(journal)
        async with self._guarded() as consumer:
            if self._next.get(at) != after.position:
                await self._seek(consumer, at, after)
            else:
                await self._tell(consumer, at)
            found = (await consumer.getmany(at, max_records=self._batch)).get(at, [])
            self._next[at] = place = await consumer.position(at)  # behind the markers of transactions too
        return _read(found, Place(place, 0) if place > after.position else after)

    async def committed(self, journal: str) -> Place:
        """How far the group has committed: the place of a relay whose target keeps none."""
        async with self._guarded() as consumer:
            offset = await consumer.committed(_partition(journal))
            return Place(offset, 0) if offset else BEGINNING

    async def commit(self, journal: str, place: Place) -> None:
        """Moves the group's offset. Raises RetryableError, also when the partition has gone to another process."""
        async with self._guarded() as consumer:
            await consumer.commit({_partition(journal): OffsetAndMetadata(place.position, "")})

    async def close(self) -> None:
        """See Feed. Leaves the group."""
        consumer, self._consumer = self._consumer, None
        self._next.clear()
        if consumer is not None:
            self.generation += 1
            await end(consumer)

    def rebalanced(self) -> None:
        """Called when the group shares the partitions anew."""
        self.generation += 1
        self._next.clear()

    async def _seek(self, consumer: AIOKafkaConsumer, at: TopicPartition, after: Place) -> None:
        first, last = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
        if last < after.position:
            raise RetryableError(
                f"{at.topic}:{at.partition} ends at offset {last}, but was read up to {after.position} before: was the topic made anew?"
            )
        if first > after.position and after != BEGINNING:
            log.warning("%s: %d records were deleted before the relay read them", at, first - after.position)
        consumer.seek(at, max(first, after.position))
        self._next[at] = after.position

    async def _tell(self, consumer: AIOKafkaConsumer, at: TopicPartition) -> None:
        """All before the consumer's position is written: else we would not be asked for what is behind it."""
        now = time.monotonic()
        if now - self._told.get(at, 0.0) >= TOLD_SECONDS and self._next[at] > 0:
            self._told[at] = now
            await consumer.commit({at: OffsetAndMetadata(self._next[at], "")})

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Within the settings' time. A consumer that did not answer in time is made anew: some of its waits have no end of their own."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                yield await self._started()
        except Exception as error:
            raised = meaning(error, self._settings)  # of a partition that is not ours any more, too
            if raised is None:
                raise
            self._next.clear()
            if isinstance(error, TimeoutError | KafkaTimeoutError):
                await self.close()
            raise raised from error

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await start_member(
                self._settings,
                self._group,
                self._topics,
                lambda _: _Listener(self),
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                max_poll_interval_ms=PATIENCE_MS,
                rebalance_timeout_ms=int(self._settings.session_seconds * 1000),
                max_partition_fetch_bytes=max(1 << 20, self._batch_bytes // 4),
                fetch_max_bytes=self._batch_bytes,
            )
        return self._consumer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, feed: KafkaFeed) -> None:
        self._feed = feed

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        del revoked
        self._feed.rebalanced()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        del assigned
        self._feed.rebalanced()


class KafkaPlaces:
    """See places.Places: the group's committed offsets. Closes nothing: the feed is its owner's."""

    def __init__(self, feed: KafkaFeed) -> None:
        self._feed = feed

    async def get(self, journal: str) -> Place:
        """See Places."""
        return await self._feed.committed(journal)

    async def set(self, journal: str, place: Place) -> None:
        """See Places."""
        await self._feed.commit(journal, place)

    async def close(self) -> None:
        """See Places."""


def _partition(journal: str) -> TopicPartition:
    topic, _, number = journal.rpartition(":")
    return TopicPartition(topic, int(number))


def _read(records: Sequence[ConsumerRecord], place: Place) -> Read:
    outputs: list[Output] = []
    damaged: list[Damaged] = []
    for record in records:
        place = Place(record.offset + 1, 0)
        try:
            outputs.append(Output(place, (decode(record.headers, record.value).event,)))
        except BadInputError as error:
            damaged.append(Damaged(place, _whole(record), str(error)))
    return Read(outputs, place, damaged)


def _whole(record: ConsumerRecord) -> bytes:
    """A record as JSON, its bytes in base64."""
    headers = [[name, _base64(value)] for name, value in record.headers]
    return json.dumps({"key": _base64(record.key), "headers": headers, "value": _base64(record.value)}).encode()


def _base64(value: bytes | None) -> str | None:
    return base64.b64encode(value).decode() if value is not None else None
