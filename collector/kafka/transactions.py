"""One transactional producer: records and a group's offsets go to Kafka together or not at all.

What is kept so is exactly once for readers with isolation level read_committed. After a failure of unknown outcome the next `offsets`
tells whether the transaction counts: registering the transactional id again ends what was open, before anything can be read.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownError,
)
from aiokafka.structs import OffsetAndMetadata

from collector.errors import FencedError, MeshscribeError, PermanentError, RetryableError
from collector.kafka.batches import BATCH_BYTES, Batches, Record, partition
from collector.kafka.connection import client_arguments
from collector.kafka.discard import discard, failure, overtaken
from collector.kafka.mending import Mending
from collector.settings import Kafka

__all__ = ["Record", "Transactions", "committed", "partition"]

log = logging.getLogger("meshscribe.kafka")

ABORT_SECONDS = 5.0
RETRY_MS = 25  # a transaction that follows another at once is turned away until the broker has ended that; the default is 100
ABANDONED_MS = 60_000  # an open transaction of a process that never comes back holds up readers for so long
_NEVER = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)


class Transactions:
    """A producer under this transactional id. One call at a time has it, the others wait.

    Every method raises RetryableError (nothing happened, or `offsets` will tell), and FencedError once another process uses the id.
    After any error the producer is gone, and the next call makes a new one. `mending`: see collector.kafka.mending.
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
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            log.warning("a transaction of %s stays open for up to %d s: %s", self._id, ABANDONED_MS // 1000, error)

    async def _overtaken(self, cause: BaseException) -> bool:
        """Asked where the broker gave no reason: a new producer would take the id back from who has it now."""
        if self._producer is not None and isinstance(cause.__cause__, UnknownError):
            with suppress(KafkaError, OSError, TimeoutError):
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
        self._producer = producer = AIOKafkaProducer(
            **client_arguments(self._settings),
            transactional_id=self._id,
            transaction_timeout_ms=ABANDONED_MS,
            retry_backoff_ms=RETRY_MS,
        )
        await producer.start()
        return producer

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
        servers = self._settings.bootstrap_servers
        if isinstance(error, MeshscribeError):
            return None
        if isinstance(error, ProducerFenced):
            self._fenced = True
            return FencedError(f"another process took over {self._id}")
        if isinstance(error, _NEVER):
            return PermanentError(f"Kafka at {servers} refuses a record for ever: {error or type(error).__name__}")
        if isinstance(error, TimeoutError):
            return RetryableError(f"Kafka at {servers} did not finish within {self._settings.timeout_seconds:g} s")
        if isinstance(error, (KafkaError, OSError)) or _of_aiokafka(error):
            under = f" ({type(error.__cause__).__name__}: {error.__cause__})" if error.__cause__ is not None else ""
            return RetryableError(f"Kafka at {servers}: {type(error).__name__}: {error}{under}")
        return None


def _of_aiokafka(error: BaseException) -> bool:
    """Whether aiokafka found itself in a wrong state, which it asserts: a new producer is in a good one."""
    if not isinstance(error, AssertionError) or error.__traceback__ is None:
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).startswith("aiokafka.")


async def committed(settings: Kafka, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
    """The group's committed offsets with their metadata. Raises KafkaError and TimeoutError of aiokafka."""
    admin = AIOKafkaAdminClient(**client_arguments(settings))
    try:
        await admin.start()
        while True:
            try:
                found = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
            except KafkaError as error:
                if not error.retriable:
                    raise
            else:
                if all(part in found for part in partitions):  # an answer without them is an error that aiokafka does not tell
                    return {part: value for part, value in found.items() if value.offset >= 0}
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
