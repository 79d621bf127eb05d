"""Versions of services in a compacted Kafka topic: what the processes of the role `process` share, who have no SQL store.

Implements `store.VersionStore`. A record's key is the version's identity and the time from which it counts, as a JSON array; its value is
`stored.data_of`. So two collectors that saw one change at different moments keep a record each, and every reader takes the earlier time.
All records of a service are in one partition, in the order of saving. `prune` writes tombstones for what is superseded.
Next stop: the keeper fills the catalogue from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from collector.enrich.store import Named, data_of, identity, superseded, version_from
from collector.enrich.version import ServiceVersion
from collector.errors import DamagedError, PermanentError, RetryableError, SettingsError
from collector.kafka.batches import partition
from collector.kafka.clients import discard, end, partitions, start_consumer, start_producer
from collector.kafka.faults import translated
from collector.kafka.reading import whole_topic
from collector.kafka.topics import check_limits
from collector.settings import Kafka

log = logging.getLogger("meshscribe.services")

BATCH = 500
OVERHEAD = 1024  # bytes of a record beside its key and value
WAIT_MS = 200


class Message(NamedTuple):
    """What goes to a partition of the topic; without a value it is a tombstone."""

    key: bytes
    value: bytes | None
    partition: int


class KafkaVersionStore:
    """See store.VersionStore. Connects when it is first asked for something."""

    def __init__(self, settings: Kafka) -> None:
        self._settings, self._topic = settings, settings.services_topic
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        self._given: dict[TopicPartition, int] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> list[ServiceVersion]:
        """See store.VersionStore.load."""
        self._given = {}
        return await self.news()

    async def news(self) -> list[ServiceVersion]:
        """See store.VersionStore.news. After an error the same comes again."""
        async with self._lock:
            try:
                with translated(self._settings):
                    found, places = await self._read(await self._started())
            except BaseException:
                await self._drop()
                raise
        self._given = places
        return found

    async def save(self, versions: Sequence[ServiceVersion]) -> None:
        """See store.VersionStore.save. Raises PermanentError where one is larger than a record may be."""
        async with self._lock:
            await self._started()
            await self._send([self._record(version) for version in versions])

    async def prune(self, before_us: int, history: int) -> int:
        """See store.VersionStore.prune. Reads the whole topic: to be called seldom."""
        async with self._lock:
            await self._started()
        left: dict[bytes, ServiceVersion] = {}
        async for record in whole_topic(self._settings, self._topic):
            version = _bare(record.key) if record.value is not None else None
            if version is not None:
                left[record.key] = version
            else:
                left.pop(record.key, None)
        gone = await asyncio.to_thread(superseded, left.values(), before_us, history)
        keys = [(key, version) for key, version in left.items() if identity(version) in gone]
        for start in range(0, len(keys), BATCH):
            async with self._lock:
                await self._started()
                await self._send([self._tombstone(*key) for key in keys[start : start + BATCH]])
        return len(gone)

    async def close(self) -> None:
        """See store.VersionStore.close."""
        async with self._lock:
            await self._drop()
            await self._discard()

    async def _started(self) -> AIOKafkaConsumer:
        """A consumer of all partitions, once the topic is there. Raises RetryableError."""
        if self._consumer is None:
            try:
                await check_limits(self._settings, [self._topic])
            except SettingsError as error:
                raise RetryableError(str(error)) from error
            try:
                with translated(self._settings):
                    self._consumer = await start_consumer(self._settings, auto_offset_reset="earliest")
                    self._partitions = await partitions(self._consumer, self._topic)
            except BaseException:
                await self._drop()
                raise
            self._consumer.assign(self._partitions)
        return self._consumer

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await end(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> tuple[list[ServiceVersion], dict[TopicPartition, int]]:
        """From where we were to the end as it is now, and where that is."""
        ends = await consumer.end_offsets(self._partitions)
        for at in self._partitions:
            if at in self._given:
                consumer.seek(at, self._given[at])
            else:
                await consumer.seek_to_beginning(at)
        found: dict[bytes, ServiceVersion] = {}
        places = {at: await consumer.position(at) for at in self._partitions}
        while any(places[at] < end for at, end in ends.items()):
            async with asyncio.timeout(self._settings.timeout_seconds):  # for each piece: a topic may be long, but not stand still
                places = await self._piece(consumer, found, places)
        return list(found.values()), places

    async def _piece(
        self, consumer: AIOKafkaConsumer, found: dict[bytes, ServiceVersion], places: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Takes some records in, the newest of a key last; where that is."""
        while True:
            for records in (await consumer.getmany(timeout_ms=WAIT_MS)).values():
                for record in records:
                    found.pop(record.key, None)
                    version = _version(record)
                    if version is not None:
                        found[record.key] = version
            now = {at: await consumer.position(at) for at in self._partitions}
            if now != places:
                return now

    async def _send(self, records: Sequence[Message]) -> None:
        """Durable when it returns. No transaction: one that a dead process left open would hold up all readers."""
        try:
            with translated(self._settings, "versions of services: "):
                async with asyncio.timeout(self._settings.timeout_seconds):
                    producer = await self._producing()
                    sent = [await producer.send(self._topic, value, key, partition=place) for key, value, place in records]
                    await asyncio.gather(*sent)
        except BaseException:
            await self._discard()
            raise

    async def _producing(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await start_producer(
                self._settings, self._settings.compression, enable_idempotence=True, max_request_size=self._settings.max_record_bytes
            )
        return self._producer

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await discard(producer)

    def _record(self, version: ServiceVersion) -> Message:
        key, value = _key(version), data_of(version)
        room = self._settings.max_record_bytes - OVERHEAD
        if len(key) + len(value) > room:
            size = len(key) + len(value)
            name = f"{version.namespace}/{version.name}"
            raise PermanentError(
                f"{name} has {size} bytes, a record takes {room}: lower services.max_bytes or raise kafka.max_record_bytes"
            )
        return Message(key, value, self._partition(version))

    def _tombstone(self, key: bytes, version: ServiceVersion) -> Message:
        return Message(key, None, self._partition(version))

    def _partition(self, version: ServiceVersion) -> int:
        return partition(f"{version.namespace}/{version.name}".encode(), len(self._partitions))


def _key(version: ServiceVersion) -> bytes:
    v = version
    return orjson.dumps([v.namespace, v.name, v.kind, v.uid, v.resource_version, v.deleted, v.since_us])


def _version(record: ConsumerRecord) -> ServiceVersion | None:
    """None for a tombstone, and for what no collector wrote: that is said and passed over."""
    if record.value is None:
        return None
    try:
        return version_from(record.value, **_identity(record.key))
    except DamagedError as error:
        log.warning("%s:%d holds no version of a service at offset %d: %s", record.topic, record.partition, record.offset, error)
        return None


def _bare(key: bytes) -> ServiceVersion | None:
    try:
        return ServiceVersion(generation=0, **_identity(key))
    except DamagedError:
        return None


def _identity(key: bytes) -> Named:
    try:
        namespace, name, kind, uid, resource_version, deleted, since_us = orjson.loads(key)
    except (ValueError, TypeError) as error:
        raise DamagedError(f"the key {key!r:.120} names no version: {error}") from error
    texts = (namespace, name, kind, uid, resource_version)
    if not all(isinstance(value, str) for value in texts) or not isinstance(deleted, bool) or not isinstance(since_us, int):
        raise DamagedError(f"the key {key!r:.120} names no version")
    return {
        "namespace": namespace,
        "name": name,
        "kind": kind,
        "uid": uid,
        "resource_version": resource_version,
        "deleted": deleted,
        "since_us": since_us,
    }
