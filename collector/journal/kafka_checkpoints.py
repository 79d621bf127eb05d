"""Checkpoints of one raw partition in a compacted topic, in chunks.

A checkpoint's chunks and the note that names it go into one transaction, so that half of one is never seen, and a predecessor that still
writes is fenced. Keys are journal/slot/chunk: there are three slots, two hold the checkpoints that count and the third takes the next, so
that compaction never takes away what is in use. The note is the metadata of an offset that the group `meshscribe-<journal>-checkpoints`
commits: a look-up instead of a search through the topic. The offset is one from which on all of the chunks are found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from collector.clock import Clock
from collector.errors import DamagedError, RetryableError
from collector.journal import Checkpoint
from collector.journal.kafka_topic import RawTopic
from collector.kafka.clients import consumer
from collector.kafka.faults import AWAY, said
from collector.kafka.transactions import Record, Transactions
from collector.retry import steady, until_it_works
from collector.settings import Kafka

T = TypeVar("T")

log = logging.getLogger("meshscribe.journal")

CHUNK_BYTES = 900 << 10
SLOTS = 3
RETRY_SECONDS = 0.5
LOAD_SECONDS = 120.0
_GENERATION = "generation"


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint that is complete: `chunks` records of `generation` in its slot, none of them before `offset`."""

    position: int
    slot: int
    chunks: int
    generation: str
    offset: int


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What counts: the checkpoint saved last, the newest not above the last truncation, how many keys each slot has, the truncation."""

    last: Saved | None = None
    kept: Saved | None = None
    sizes: tuple[int, int, int] = (0, 0, 0)
    truncated: int = 0


class Checkpoints:
    """See collector.journal.Journal for what is kept. Raises FencedError once another process owns the partition."""

    def __init__(self, settings: Kafka, topic: RawTopic, partition: int, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._group = f"meshscribe-{topic.journal(partition)}-checkpoints"
        self._prefix = topic.journal(partition)
        self._at = TopicPartition(settings.checkpoints_topic, partition % topic.checkpoint_partitions)
        self._transactions = Transactions(settings, self._group)
        self._note: Note | None = None

    async def save(self, checkpoint: Checkpoint) -> None:
        """Durable when it returns. Waits for a Kafka that is away."""
        await self._patiently(lambda: self._save(checkpoint))

    async def load(self, at_most: int) -> Checkpoint | None:
        """The newest with a position ≤ at_most. Waits for a Kafka that is away."""
        note = await self._patiently(self._noted)
        fitting = [saved for saved in (note.last, note.kept) if saved is not None and saved.position <= at_most]
        if not fitting:
            return None
        newest = max(fitting, key=lambda saved: saved.position)
        return Checkpoint(newest.position, await self._patiently(lambda: self._state(newest)))

    async def truncated(self, up_to: int) -> None:
        """Notes how far the journal may be forgotten: told to Kafka with the next checkpoint."""
        note = await self._patiently(self._noted)
        self._note = _settled(msgspec.structs.replace(note, truncated=max(note.truncated, up_to)))

    async def close(self) -> None:
        await self._transactions.close()

    async def _noted(self) -> Note:
        if self._note is None:
            found = (await self._transactions.offsets(self._group, [self._at])).get(self._at)
            try:
                self._note = msgspec.json.decode(found.metadata, type=Note) if found is not None else Note()
            except msgspec.DecodeError as error:
                raise DamagedError(f"the note of checkpoints of {self._prefix} cannot be read: {error}") from error
        return self._note

    async def _save(self, checkpoint: Checkpoint) -> None:
        note = await self._noted()
        used = {saved.slot for saved in (note.last, note.kept) if saved is not None}
        slot = next(number for number in range(SLOTS) if number not in used)
        low = await self._end()
        view = memoryview(checkpoint.state)
        chunks = [bytes(view[start : start + CHUNK_BYTES]) for start in range(0, len(view), CHUNK_BYTES)] or [b""]
        saved = Saved(checkpoint.position, slot, len(chunks), uuid4().hex, low)
        sizes = list(note.sizes)
        before, sizes[slot] = sizes[slot], len(chunks)
        new = _settled(Note(saved, note.kept, (sizes[0], sizes[1], sizes[2]), note.truncated), note.last)
        self._note = None  # unknown until it is known
        place = {self._at: OffsetAndMetadata(low, msgspec.json.encode(new).decode())}
        await self._transactions.commit(self._records(saved, chunks, before), self._group, place)
        self._note = new

    def _records(self, saved: Saved, chunks: list[bytes], before: int) -> Iterator[Record]:
        topic, at = self._at
        headers = [(_GENERATION, saved.generation.encode())]
        for number, chunk in enumerate(chunks):
            yield Record(topic, self._key(saved.slot, number), chunk, headers, at)
        for number in range(len(chunks), before):
            yield Record(topic, self._key(saved.slot, number), None, [], at)

    def _key(self, slot: int, chunk: int) -> bytes:
        return f"{self._prefix}/{slot}/{chunk}".encode()

    async def _end(self) -> int:
        async with self._consumer() as reader:
            return int((await reader.end_offsets([self._at]))[self._at])

    async def _state(self, saved: Saved) -> bytes:
        """Raises RetryableError: the chunks do not come."""
        chunks: dict[bytes, bytes] = {}
        try:
            async with asyncio.timeout(LOAD_SECONDS), self._consumer() as reader:
                reader.seek(self._at, saved.offset)
                while len(chunks) < saved.chunks:
                    for record in (await reader.getmany(timeout_ms=1000)).get(self._at, ()):
                        if _generation(record) == saved.generation:
                            chunks[record.key] = record.value
        except TimeoutError:
            raise RetryableError(f"{len(chunks)} of {saved.chunks} chunks of the checkpoint of {self._prefix} were found") from None
        return b"".join([chunks[self._key(saved.slot, number)] for number in range(saved.chunks)])

    def _consumer(self) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        """For a moment."""
        return consumer(
            self._settings, [self._at], auto_offset_reset="earliest", isolation_level="read_committed", max_partition_fetch_bytes=4 << 20
        )

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        waits = steady(RETRY_SECONDS)

        def fails(error: Exception) -> None:
            if not waits.tries:
                why = str(error) if isinstance(error, RetryableError) else said(error)
                log.warning("journal: checkpoints of %s, trying again: %s", self._prefix, why)

        return await until_it_works(attempt, waits, self._clock.sleep, fails, (RetryableError, *AWAY))


def _settled(note: Note, before: Saved | None = None) -> Note:
    """With the newest of all known ones that is not above the truncation as the one to keep."""
    fitting = [saved for saved in (note.kept, before, note.last) if saved is not None and saved.position <= note.truncated]
    return msgspec.structs.replace(note, kept=max(fitting, key=lambda saved: saved.position, default=None))


def _generation(record: ConsumerRecord) -> str:
    return next((value.decode("ascii", "replace") for name, value in record.headers if name == _GENERATION), "")
