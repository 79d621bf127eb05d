"""One transactional producer: records and a group's offsets go to Kafka together or not at all.

What is kept so is exactly once for readers with isolation level read_committed. After a failure of unknown outcome the next `offsets`
tells whether the transaction counts: registering the transactional id again ends what was open, before anything can be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced, UnknownError
from aiokafka.structs import OffsetAndMetadata

from collector.errors import FencedError, PermanentError
from collector.kafka.batches import BATCH_BYTES, Batches, Record, partition
from collector.kafka.clients import discard, start_producer
from collector.kafka.faults import AWAY, meaning
from collector.kafka.offsets import Mending, committed
from collector.kafka.private import failure, overtaken
from collector.settings import Kafka

__all__ = ["Record", "Transactions", "partition"]

log = logging.getLogger("meshscribe.kafka")

ABORT_SECONDS = 5.0
RETRY_MS = 25  # a transaction that follows another at once is turned away until the broker has ended that; the default is 100
ABANDONED_MS = 60_000  # an open transaction of a process that never comes back holds up readers for so long


class Transactions:
    """A producer under this transactional id. One call at a time has it, the others wait.

    Every method raises RetryableError (nothing happened, or `offsets` will tell), and FencedError once another process uses the id.
    After any error the producer is gone, and the next call makes a new one. `mending`: see collector.kafka.offsets.
    """

    def __init__(self, settings: Kafka, transactional_id: str, mending: Mending | None = None) -> None:
        self._settings, self._id, self._mending = settings, transactional_id, mending
        self._producer: AIOKafkaProducer | None = None
        self._fenced = False
        self._lock = asyncio.Lock()

    async def offsets(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed; partitions of which it has nothing are left out. Ends a predecessor's open transaction first."""
        async with self._guarded():
            await self._started()
            return await committed(self._settings, group, partitions)

    async def commit(
        self, records: Iterable[Record], group: str | None = None, offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None
    ) -> None:
        """Writes all of it in one transaction. Raises PermanentError too: the broker refuses a record for what it is."""
        async with self._guarded():
            producer = await self._started()
            await producer.begin_transaction()
            batches = Batches(producer, min(BATCH_BYTES, self._settings.max_record_bytes), self._settings.compression)
            await batches.add(records)
            await batches.send_rest()
            await batches.delivered()  # brokers turn away what is written while a group is being added
            if group is not None and offsets:
                await producer.send_offsets_to_transaction(dict(offsets), group)
            await producer.commit_transaction()

    async def close(self) -> None:
        """Ends after what was begun."""
        async with self._lock:
            await self._drop()

    async def _abort(self) -> None:
        """Not left to the next producer, for there may be none for a while: an open transaction holds up readers."""
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                if self._producer is not None:
                    await self._producer.abort_transaction()
        except (*AWAY, AssertionError) as error:
            log.warning("a transaction of %s stays open for up to %d s: %s", self._id, ABANDONED_MS // 1000, error)

    async def _overtaken(self, cause: BaseException) -> bool:
        """Asked where the broker gave no reason: a new producer would take the id back from who has it now."""
        if self._producer is not None and isinstance(cause.__cause__, UnknownError):
            with suppress(*AWAY):
                async with asyncio.timeout(ABORT_SECONDS):
                    return await overtaken(self._producer)
        return False

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await discard(producer)

    async def _started(self) -> AIOKafkaProducer:
        if self._fenced:
            raise FencedError(f"{self._id} is used by another process")
        if self._producer is not None:
            return self._producer
        if self._mending is not None:
            await self._mending.mend(await self._new())
            await self._drop()  # the next one is registered when all of it is marked
        return await self._new()

    async def _new(self) -> AIOKafkaProducer:
        self._producer = await start_producer(
            self._settings, transactional_id=self._id, transaction_timeout_ms=ABANDONED_MS, retry_backoff_ms=RETRY_MS
        )
        return self._producer

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Within the settings' time; a producer that failed is not used again."""
        async with self._lock:
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    yield
            except BaseException as error:
                cause = (failure(self._producer) if self._producer is not None else None) or error
                raised = self._meant(ProducerFenced() if await self._overtaken(cause) else cause)
                if isinstance(raised or cause, PermanentError):
                    await self._abort()
                await self._drop()
                if raised is None:
                    raise
                raise raised from cause

    def _meant(self, error: BaseException) -> Exception | None:
        """What an error means to the caller; None if it is no matter of Kafka's."""
        if isinstance(error, ProducerFenced):
            self._fenced = True
            return FencedError(f"another process took over {self._id}")
        return meaning(error, self._settings)
