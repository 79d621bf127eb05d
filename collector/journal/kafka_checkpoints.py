"""Checkpoints of one raw partition in a compacted topic, in chunks.

A checkpoint's chunks and the note that names it go into one transaction, so that half of one is never seen, and a predecessor that still
writes is fenced. Keys are journal/slot/chunk: there are three slots, two hold the checkpoints that count and the third takes the next, so
that compaction never takes away what is in use. The note is the metadata of an offset that the group `meshscribe-<journal>-checkpoints`
commits: a look-up instead of a search through the topic. The offset is one from which on all of the chunks are found. It is committed again
once a day: of an idle partition brokers would forget it. Chunks that a note names are read whether their transaction is marked or not: the
note says that it counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, RecordTooLargeError
from aiokafka.structs import OffsetAndMetadata

from collector.clock import Clock
from collector.errors import DamagedError, RetryableError
from collector.journal import Checkpoint
from collector.journal.kafka_salvage import next_readable
from collector.journal.kafka_topic import RawTopic
from collector.kafka.clients import consumer
from collector.kafka.faults import AWAY, said
from collector.kafka.offsets import DAY_SECONDS, Keeper
from collector.kafka.private import batch_at
from collector.kafka.transactions import Record, Transactions
from collector.retry import steady, until_it_works
from collector.settings import Kafka

T = TypeVar("T")

log = logging.getLogger("meshscribe.journal")

CHUNK_BYTES = 900 << 10
SLOTS = 3
RETRY_SECONDS = 0.5
WAIT_MS = 1000
LOOK_AFTER = 10  # fetches that bring nothing, after which it is asked whether the place can be read
TRIES = 2  # at a checkpoint before it counts as damaged: one bad answer is no verdict
ONE_BATCH = 1  # byte: a fetch brings the first batch whole, and one that is damaged takes no other with it
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

    def __init__(self, settings: Kafka, topic: RawTopic, partition: int, clock: Clock, keep_seconds: float = DAY_SECONDS) -> None:
        self._settings, self._clock = settings, clock
        self._group = f"meshscribe-{topic.journal(partition)}-checkpoints"
        self._prefix = topic.journal(partition)
        self._at = TopicPartition(settings.checkpoints_topic, partition % topic.checkpoint_partitions)
        self._transactions = Transactions(settings, self._group)
        self._note: Note | None = None
        self._offset = 0  # that the note is committed with
        self._writes = asyncio.Lock()
        self._keeper = Keeper(self._keep, keep_seconds)
        self.failing: str | None = None  # why they cannot be read or saved now

    async def save(self, checkpoint: Checkpoint) -> None:
        """Durable when it returns. Waits for a Kafka that is away."""
        async with self._writes:
            await self._patiently(lambda: self._save(checkpoint))
        self._keeper.start()

    async def load(self, at_most: int) -> Checkpoint | None:
        """The newest with a position ≤ at_most that can be read. Waits for a Kafka that is away."""
        note = await self._patiently(self._noted)
        fitting = {saved.position: saved for saved in (note.kept, note.last) if saved is not None and saved.position <= at_most}
        for position, saved in sorted(fitting.items(), reverse=True):
            try:
                return Checkpoint(position, await self._read(saved))
            except DamagedError as error:
                log.error("journal: %s: an older one is used, or the state is made anew from the entries that are kept", error)
        return None

    async def _read(self, saved: Saved) -> bytes:
        for _ in range(TRIES - 1):
            try:
                return await self._patiently(lambda: self._state(saved))
            except DamagedError as error:
                log.warning("journal: %s: it is read once more", error)
                await self._clock.sleep(RETRY_SECONDS)
        return await self._patiently(lambda: self._state(saved))

    async def truncated(self, up_to: int) -> None:
        """Notes how far the journal may be forgotten: told to Kafka with the next checkpoint."""
        note = await self._patiently(self._noted)
        self._note = _settled(msgspec.structs.replace(note, truncated=max(note.truncated, up_to)))

    async def close(self) -> None:
        await self._keeper.stop()
        await self._transactions.close()

    async def _noted(self) -> Note:
        if self._note is None:
            found = (await self._transactions.offsets(self._group, [self._at])).get(self._at)
            try:
                self._note = msgspec.json.decode(found.metadata, type=Note) if found is not None else Note()
            except msgspec.DecodeError as error:
                raise DamagedError(f"the note of checkpoints of {self._prefix} cannot be read: {error}") from error
            if found is not None:
                self._offset = found.offset
                self._keeper.start()
        return self._note

    async def _keep(self) -> None:
        """Commits the note again."""
        async with self._writes:
            note = await self._noted()
            await self._transactions.commit([], self._group, self._place(self._offset, note))

    def _place(self, offset: int, note: Note) -> dict[TopicPartition, OffsetAndMetadata]:
        return {self._at: OffsetAndMetadata(offset, msgspec.json.encode(note).decode())}

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
        await self._transactions.commit(self._records(saved, chunks, before), self._group, self._place(low, new))
        self._note, self._offset = new, low

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
        """Raises DamagedError: chunks are missing, or are not to be read."""
        chunks: dict[bytes, bytes | None] = {}
        async with self._consumer() as reader:
            first = (await reader.beginning_offsets([self._at]))[self._at]
            end = (await reader.end_offsets([self._at]))[self._at]
            reader.seek(self._at, max(first, saved.offset))
            while len(chunks) < saved.chunks and await reader.position(self._at) < end:
                found = await self._fetch(reader, end)
                chunks |= {record.key: record.value for record in found if _generation(record) == saved.generation}
        state = [chunks.get(self._key(saved.slot, number)) for number in range(saved.chunks)]
        there = [chunk for chunk in state if chunk is not None]
        if len(there) < len(state):
            checkpoint = f"the checkpoint of {self._prefix} at position {saved.position}"
            raise DamagedError(
                f"{len(there)} of {len(state)} chunks of {checkpoint} can be read, from offset {saved.offset} of {self._at} on"
            )
        return b"".join(there)

    async def _fetch(self, reader: AIOKafkaConsumer, end: int) -> Sequence[ConsumerRecord]:
        """The records that are next. None: it went on without any, be it past what cannot be read. Raises RetryableError: nothing comes."""
        before = await reader.position(self._at)
        for _ in range(LOOK_AFTER):
            try:
                found: Sequence[ConsumerRecord] = (await reader.getmany(self._at, timeout_ms=WAIT_MS)).get(self._at, ())
            except (CorruptRecordException, RecordTooLargeError):
                break
            if found or await reader.position(self._at) > before:
                return found
        await self._pass_over(reader, before, end)
        return ()

    async def _pass_over(self, reader: AIOKafkaConsumer, at: int, end: int) -> None:
        """A broker that cannot read a place says so to aiokafka, and that to nobody: so it is asked."""
        if await batch_at(reader, self._at, at) is not None:
            raise RetryableError(f"its broker gives nothing behind offset {at} of {self._at}")
        good = await next_readable(reader, self._at, at, end)
        log.warning("journal: %s cannot be read at offset %d: %s", self._at, at, "nothing behind it" if good is None else f"up to {good}")
        reader.seek(self._at, end if good is None else good)

    def _consumer(self) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        """For a moment."""
        return consumer(self._settings, [self._at], auto_offset_reset="none", max_partition_fetch_bytes=ONE_BATCH)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        waits = steady(RETRY_SECONDS)

        def fails(error: Exception) -> None:
            why = str(error) if isinstance(error, RetryableError) else said(error)
            self.failing = f"its checkpoints cannot be read or saved: {why}"
            if not waits.tries:
                log.warning("journal: checkpoints of %s, trying again: %s", self._prefix, why)

        result = await until_it_works(attempt, waits, self._clock.sleep, fails, (RetryableError, *AWAY))
        self.failing = None
        return result


def _settled(note: Note, before: Saved | None = None) -> Note:
    """With the newest of all known ones that is not above the truncation as the one to keep."""
    fitting = [saved for saved in (note.kept, before, note.last) if saved is not None and saved.position <= note.truncated]
    return msgspec.structs.replace(note, kept=max(fitting, key=lambda saved: saved.position, default=None))


def _generation(record: ConsumerRecord) -> str:
    return next((value.decode("ascii", "replace") for name, value in record.headers if name == _GENERATION), "")
