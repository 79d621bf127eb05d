"""Records into batches, and batches to the brokers while the next ones are being filled.

A record is encoded once, into the batch of its partition: aiokafka's everyday `send` costs four times as much. Used by transactions.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from collector.kafka.private import murmur2
from collector.kafka.record_batch import RecordBatch, packed, unpacked

BATCH_BYTES = 512 << 10  # uncompressed; a single larger record gets a batch of its own
YIELD_EVERY = 100  # records; others share the loop


class Record(NamedTuple):
    """What goes to a topic; its key chooses the partition, as Kafka's own clients do (murmur2), unless one is named.

    Without a value it is a tombstone: compaction takes the key away.
    """

    topic: str
    key: bytes
    value: bytes | None
    headers: bytes | Sequence[tuple[str, bytes]]  # or as kafka.record_batch.packed makes them
    partition: int | None = None

    def named(self) -> list[tuple[str, bytes]]:
        """The headers, each with its name."""
        return unpacked(self.headers) if isinstance(self.headers, bytes) else list(self.headers)


class Batches:
    """The batches of one transaction. All of them are sent in order per partition, each as soon as it is full."""

    def __init__(self, producer: AIOKafkaProducer, limit: int, compression: str) -> None:
        """`limit`: bytes of a batch, before compression."""
        self._producer, self._limit, self._compression = producer, limit, compression
        self._partitions: dict[str, int] = {}
        self._open: dict[tuple[str, int], RecordBatch] = {}
        self._chosen: dict[tuple[str, bytes], tuple[str, int]] = {}
        self._sent: list[asyncio.Future[object]] = []
        self._now = int(time.time() * 1000)  # not the event's time: brokers refuse the future, and delete by this time

    async def add(self, records: Iterable[Record]) -> None:
        """Raises KafkaError, and whatever the iterable raises."""
        for number, (topic, key, value, headers, named) in enumerate(records):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            place = self._chosen.get((topic, key)) if named is None else (topic, named)
            if place is None:
                place = self._chosen[topic, key] = await self._place(topic, key)
            encoded = headers if isinstance(headers, bytes) else packed(headers)
            batch = self._open.get(place)
            if batch is None or not batch.append(key, value, encoded):
                if batch is not None:
                    await self._send_full(place)
                self._open[place] = batch = RecordBatch(self._limit, self._compression, self._now, transactional=True)
                batch.append(key, value, encoded)

    async def send_rest(self) -> None:
        """Sends what is not full. Raises KafkaError."""
        for place, batch in self._open.items():
            await self._send(place, batch)
        self._open.clear()

    async def _send_full(self, place: tuple[str, int]) -> None:
        """With the first one all others go too, so that the transaction learns of their partitions at once: brokers turn away what is
        written to one partition while another one is being added.
        """
        if self._sent:
            await self._send(place, self._open[place])
        else:
            await self.send_rest()

    async def delivered(self) -> None:
        """Every batch is looked at: a transaction with a batch that failed would commit all the same, without it. Raises KafkaError."""
        if not self._sent:
            return
        await asyncio.wait(self._sent)
        faults = [fault for future in self._sent if (fault := future.exception()) is not None]
        if faults:
            raise faults[0]

    async def _place(self, topic: str, key: bytes) -> tuple[str, int]:
        if topic not in self._partitions:
            self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return topic, partition(key, self._partitions[topic])

    async def _send(self, place: tuple[str, int], batch: RecordBatch) -> None:
        sent = await self._producer.send_batch(batch, place[0], partition=place[1])
        sent.add_done_callback(_look_at)
        self._sent.append(sent)


def _look_at(sent: asyncio.Future[object]) -> None:
    """A transaction that fails does not wait for its batches; an exception that nobody looked at would be logged."""
    if not sent.cancelled():
        sent.exception()


def partition(key: bytes, count: int) -> int:
    """The partition of a key among `count`, as the Java client's default partitioner chooses it."""
    return _hash(key) % count


@lru_cache(4096)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF
