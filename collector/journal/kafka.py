"""The journal as one partition of the raw topic: for more than one machine.

Receivers append with a RawWriter of their own and know nothing of who reads. Whoever owns the partition reads it through this class,
appends its ticks to it, and keeps its checkpoints in the compacted topic. position = offset + 1; retention forgets entries, by time or
size, as the operator set it for the topic. Next stop: the pipeline of this partition.

A broker that comes back from a crash cuts its log where that is damaged, and writes on from there: other entries then have positions that
were stored. So what was stored is kept with the mark of its last entry, and the two are compared before anything is read. While it
runs, the reader compares the last entry that it gave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from aiokafka import TopicPartition

from collector.clock import Clock
from collector.errors import DamagedError, RetryableError
from collector.journal import Checkpoint, Standing
from collector.journal.kafka_checkpoints import Checkpoints
from collector.journal.kafka_reader import CLOSED, Lost, PartitionReader
from collector.journal.kafka_topic import RawTopic, mark_of
from collector.journal.kafka_writer import RawWriter
from collector.messages.entry import Entry, Incident, Kind
from collector.settings import Kafka

RECENT = 4  # reads whose entries' marks are known: while one is stored, the next are fed


class KafkaJournal:
    """See Journal. Positions may have holes, entries carry no `message`, there is no quota, and truncation only lets checkpoints go."""

    def __init__(self, settings: Kafka, topic: RawTopic, partition: int, writer: RawWriter, clock: Clock, lost: Lost | None = None) -> None:
        """`lost` counts on what was gone from the partition before it was read."""
        self.stored: Callable[[], tuple[int, str]] = lambda: (0, "")  # the last position that was stored, and its mark as it was then
        self._recent = deque[dict[int, str]](maxlen=RECENT)  # the mark at each position
        self.id = topic.journal(partition)
        self._partition, self._writer = partition, writer
        self._reader = PartitionReader(settings, TopicPartition(topic.name, partition), clock, lost, lambda: self.stored()[0])
        self._checkpoints = Checkpoints(settings, topic, partition, clock)
        self._closed = False

    @property
    def end(self) -> int | None:
        """The last position as far as it is known: for the lag."""
        return self._reader.end

    @property
    def failing(self) -> str | None:
        """Why nothing can be read now, or no checkpoint."""
        return self._reader.failing or self._checkpoints.failing

    async def append(self, kind: Kind, source: str, payload: bytes, message: object = None, *, sender: str = "") -> int:
        """See Journal: into this partition, whatever `source` is. The writer stays open when this journal is closed."""
        self._check_open()
        return await self._writer.append(kind, source, payload, message, self._partition, sender=sender)

    async def read(self, after: int, max_bytes: int) -> Sequence[Entry]:
        self._check_open()
        found = await self._reader.read(after, max_bytes)
        self._recent.append({entry.position: mark_of(entry) for entry in found})
        return found

    def mark(self, position: int) -> str:
        """Of the entry there, if it was read of late."""
        return next((marks[position] for marks in self._recent if position in marks), "")

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        self._check_open()
        await self._checkpoints.save(checkpoint)

    async def checkpoint(self, at_most: int) -> Checkpoint | None:
        self._check_open()
        return await self._checkpoints.load(at_most)

    async def later_checkpoint(self, above: int) -> Checkpoint | None:
        """See Journal. None: of two kept ones the older is below what was stored, unless the events topic was put back."""
        del above
        self._check_open()
        return None

    async def standing(self) -> Standing:
        """See Journal. What retention forgot is told and counted by the reader. Raises DamagedError: other entries are where some were."""
        self._check_open()
        last = await self._reader.last()
        position, mark = self.stored()
        if mark and position <= last:
            await self._reader.expect(position, mark)
        return Standing(0, 0, last, 0)

    async def rename(self, name: str, incident: Incident) -> None:
        """See Journal. A partition's name is its topic's: what it takes now would be thrown away, so it is left where it is."""
        del name
        raise DamagedError(
            f"{self.id}: {incident.said}. Give the raw topic another name (kafka.raw_topic): what this one holds stays there"
        )

    @property
    def renames(self) -> bool:
        """See Journal."""
        return False

    async def notice(self, incident: Incident) -> None:
        """See Journal: told at once."""
        await self.append(Kind.INCIDENT, "", msgspec.json.encode(incident))

    async def settle(self) -> None:
        """See Journal: nothing is kept."""

    @property
    def crowded(self) -> bool:
        """See Journal: retention forgets, not truncation."""
        return False

    async def truncate(self, up_to: int) -> None:
        self._check_open()
        await self._checkpoints.truncated(up_to)

    async def close(self) -> None:
        self._closed = True
        await self._reader.close()
        await self._checkpoints.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RetryableError(CLOSED)
