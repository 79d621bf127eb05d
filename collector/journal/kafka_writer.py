"""Appends to the raw topic: an idempotent producer, acks=all, one task for each partition.

Guarantees: `append` returns after the record is on all in-sync replicas; each partition holds records in the order of the calls. What
waits for Kafka is bounded by `max_waiting_bytes`. Nothing is given up that was taken in: a batch whose fate is unknown is written again,
and the correlator knows the repeat. While a partition is stalled, tap batches are refused at once, because the filter keeps them and
asks again; access logs wait as long as there is room, because nobody else has them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from random import randint
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from collector.clock import Clock, ReceivedTime
from collector.complaints import Complaints
from collector.errors import JournalFullError, RetryableError, blamed
from collector.journal.kafka_topic import OVERHEAD, RawTopic, Stamp, headers_of, key_of
from collector.kafka.clients import discard, start_producer
from collector.kafka.faults import AWAY, NEVER, said
from collector.kafka.transactions import partition as partition_of
from collector.messages.entry import Kind
from collector.retry import steady, until_it_works
from collector.settings import Kafka
from collector.tasks import cancel, escaped

log = logging.getLogger("meshscribe.journal")

CLOSED = "journal: it is closed"
GROUP_BYTES = 512 << 10  # uncompressed; a larger record is a batch of its own
STALLED_SECONDS = 2.0  # as long as the filter waits for an answer
RETRY_SECONDS = 0.5


class Append(NamedTuple):
    """A record that is not durable yet."""

    future: asyncio.Future[int]
    kind: Kind
    key: bytes
    value: bytes
    sender: str
    size: int  # bytes that it takes in a batch, at most


class RawWriter:
    """See the module's text. Made in the event loop that uses it; `close` ends it."""

    def __init__(self, settings: Kafka, topic: RawTopic, clock: Clock, max_waiting_bytes: int) -> None:
        self._settings, self._topic, self._clock = settings, topic, clock
        self._max_waiting_bytes, self._batch_bytes = max_waiting_bytes, min(GROUP_BYTES, topic.record_bytes)
        self.waiting_bytes = 0
        self.appended = 0  # entries that became durable
        self.fault: str | None = None  # why the last records were refused, if that was an error of ours
        self._complaints = Complaints(log, clock)
        self._time, self._number = ReceivedTime(clock), randint(1, 2**32 - 1)  # the number is its name
        self._lanes: dict[int, _Lane] = {}
        self._producer: AIOKafkaProducer | None = None
        self._alone = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        self._closed = False

    async def append(
        self, kind: Kind, source: str, payload: bytes, message: object = None, partition: int | None = None, *, sender: str = ""
    ) -> int:
        """The entry's position in its partition: that of `source`, if none is named. Raises JournalFullError and RetryableError."""
        del message
        if self._closed:
            raise RetryableError(CLOSED)
        key = key_of(source)
        size = len(payload) + len(key) + len(sender.encode()) + OVERHEAD
        number = partition_of(key, self._topic.partitions) if partition is None else partition
        lane = self._lanes.get(number) or self._lane(number)
        self._check_room(kind, size, lane)
        append = Append(asyncio.get_running_loop().create_future(), kind, key, payload, sender, size)
        self.waiting_bytes += size
        lane.put(append)
        return await append.future

    @property
    def stalled_seconds(self) -> float:
        """How long the slowest partition has been waiting for Kafka."""
        return max((lane.stalled_seconds for lane in self._lanes.values()), default=0.0)

    @property
    def ahead_us(self) -> int:
        """How far its stamps are ahead of the clock, after that was set back; 0 if they are not."""
        return self._time.ahead_us

    def stamp(self) -> Stamp:
        """What a record is stamped with: the time when it is written, and never before an earlier one. What waited for Kafka does not claim
        to have been there all the time: the tap batches that were refused meanwhile come with it, and both are put together.
        """
        return Stamp(self._time.stamp(), self._number, self._clock.monotonic_us())

    def end_in(self, seconds: float) -> None:
        """What Kafka has not taken by then is refused: whoever waits for it must not wait for ever, with a process that is to end."""
        self._ending = asyncio.create_task(self._end_in(seconds))

    async def close(self) -> None:
        """Writes what waits, if Kafka takes it within the settings' time; what it did not take is refused."""
        self._closed = True
        if self._ending is not None:
            self._ending.cancel()
        lanes = list(self._lanes.values())
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                await asyncio.gather(*(lane.drained() for lane in lanes))
        except TimeoutError:
            log.error("journal: Kafka did not take %d bytes that were waiting", self.waiting_bytes)
        await asyncio.gather(*(lane.stop() for lane in lanes))
        await self._give_up(self._producer)

    async def _end_in(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._closed = True
        if self.waiting_bytes:
            log.error("journal: Kafka did not take %d bytes that were waiting", self.waiting_bytes)
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))

    def _check_room(self, kind: Kind, size: int, lane: _Lane) -> None:
        if self.waiting_bytes and self.waiting_bytes + size > self._max_waiting_bytes:
            raise JournalFullError(f"journal: {self.waiting_bytes} bytes wait for Kafka (ingest.max_waiting_bytes)")
        if kind is Kind.TAP and lane.stalled_seconds > STALLED_SECONDS:
            raise JournalFullError(f"journal: Kafka has acknowledged nothing for {lane.stalled_seconds:.1f} s")

    def _lane(self, number: int) -> _Lane:
        lane = self._lanes[number] = _Lane(self, self._topic.name, number)
        return lane

    async def _started(self) -> AIOKafkaProducer:
        """The producer; a new one if the last was given up. Tries until Kafka answers."""
        async with self._alone:
            if self._producer is None:
                waits = steady(RETRY_SECONDS)
                self._producer = await until_it_works(self._made, waits, self._clock.sleep, _no_answer, AWAY)
            return self._producer

    async def _made(self) -> AIOKafkaProducer:
        return await start_producer(
            self._settings,
            self._settings.compression,
            enable_idempotence=True,
            acks="all",
            max_batch_size=self._batch_bytes,
            max_request_size=self._topic.record_bytes,
        )

    async def _give_up(self, producer: AIOKafkaProducer | None) -> None:
        """After any error: its sequence numbers are not those that the broker expects any more."""
        async with self._alone:
            if producer is not None and producer is self._producer:
                self._producer = None
                await discard(producer)

    def _settle(self, group: Sequence[Append], base: int) -> None:
        for number, append in enumerate(group):
            self.waiting_bytes -= append.size
            if not append.future.done():
                append.future.set_result(base + number + 1)
        self.appended += len(group)
        self.fault = None

    def _refuse(self, group: Sequence[Append], error: RetryableError) -> None:
        for append in group:
            self.waiting_bytes -= append.size
            if not append.future.done():
                append.future.set_exception(error)

    def _fail(self, group: Sequence[Append], error: Exception) -> None:
        """What nobody thought of: told, and refused like what Kafka does not take. Those who come behind have their turn."""
        self.fault = f"records are refused for an error in the collector: {blamed(error)}"
        self._complaints.tell(self.fault, f"journal: {self.fault}")
        self._refuse(group, RetryableError(f"journal: {self.fault}"))


def _no_answer(error: Exception) -> None:
    log.debug("journal: Kafka does not answer: %s", said(error))


class _Lane:
    """One partition's queue and the task that empties it."""

    def __init__(self, writer: RawWriter, topic: str, number: int) -> None:
        self._writer, self._topic, self._number = writer, topic, number
        self._queue: deque[Append] = deque()
        self._under_way: list[Append] = []
        self._since: float | None = None  # since when the group under way waits
        self._filled, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._task = asyncio.create_task(self._run())

    def put(self, append: Append) -> None:
        self._queue.append(append)
        self._filled.set()
        self._empty.clear()

    @property
    def stalled_seconds(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def drained(self) -> None:
        await self._empty.wait()

    async def stop(self) -> None:
        await cancel(self._task)
        left = [*self._under_way, *self._queue]
        self._under_way = []
        self._queue.clear()
        self._empty.set()
        self._writer._refuse(left, RetryableError(CLOSED))

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            self._since = time.monotonic()
            self._under_way = self._taken()
            try:
                await self._write(self._under_way)
            except Exception as error:  # noqa: BLE001 - told; a lane that ended would leave its partition's proxies waiting for ever
                self._writer._fail(self._under_way, error)
            self._under_way = []
            self._since = None
            if not self._queue:
                self._filled.clear()
                self._empty.set()

    def _taken(self) -> list[Append]:
        """One that is larger than half a batch is alone: into its batch it goes, however large."""
        group = [self._queue.popleft()]
        size = group[0].size
        while self._queue and size + self._queue[0].size <= self._writer._batch_bytes // 2:
            group.append(self._queue.popleft())
            size += group[-1].size
        return group

    async def _write(self, group: list[Append]) -> None:
        """Until it is written, or refused for what it is."""
        while True:
            producer = None
            try:
                producer = await self._writer._started()
                base = await self._sent(producer, group)
            except KafkaTimeoutError:
                continue  # the broker is away; the batch before this one still waits
            except NEVER as error:
                await self._writer._give_up(producer)
                self._writer._refuse(group, RetryableError(f"journal: Kafka refuses a record: {type(error).__name__}"))
                return
            except (KafkaError, asyncio.CancelledError) as error:
                fault = escaped(error, "aiokafka") if isinstance(error, asyncio.CancelledError) else error
                log.warning("journal: writing to Kafka again with a new producer: %s", said(fault))
                await self._writer._give_up(producer)
                await self._writer._clock.sleep(RETRY_SECONDS)
                continue
            except Exception:
                await self._writer._give_up(producer)
                raise
            if base is not None:
                self._writer._settle(group, base)
                return

    async def _sent(self, producer: AIOKafkaProducer, group: list[Append]) -> int | None:
        """The offset of the first record; None if another lane gave the producer up. Raises KafkaError."""
        batch, now = producer.create_batch(), int(time.time() * 1000)
        stamp = self._writer.stamp()
        for append in group:
            headers = headers_of(append.kind, stamp, append.sender)
            if batch.append(timestamp=now, key=append.key, value=append.value, headers=headers) is None:
                raise AssertionError("a group is smaller than a batch")
        batch.close()
        sent = await producer.send_batch(batch, self._topic, partition=self._number)
        await asyncio.wait({sent})
        return None if sent.cancelled() else int(sent.result().offset)
