"""The journal's topic, read beside the processes that write and own it: no group, no transactional id, so nobody is disturbed.

A record's timestamp is the time of its writing, which is not before it was received; so a time is found by the brokers' own index.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException

from collector.correlate import Limits
from collector.errors import BadInputError, DamagedError
from collector.journal.kafka_topic import entry_of, find_raw_topic
from collector.kafka.clients import consumer
from collector.kafka.faults import translated
from collector.messages.entry import Entry
from collector.messages.times import timestamp
from collector.settings import Kafka
from collector.upkeep.replay.rebuild import Plan

log = logging.getLogger("meshscribe.replay")

FETCH_BYTES = 4 << 20
WAIT_MS = 1000
_SLACK_MS = 1000  # timestamps are whole milliseconds, and clocks of receivers differ


class PartitionHistory:
    """One partition up to where it ended when it was opened. Raises RetryableError."""

    def __init__(self, consumer: AIOKafkaConsumer, at: TopicPartition, journal: str, first: int, end: int) -> None:
        self.journal, self._consumer, self._at = journal, consumer, at
        self._first, self._end = first, end

    async def plan(self, since_us: int, until_us: int, limits: Limits) -> Plan:
        """Where to begin: so much earlier that all exchanges of the span are whole. `last` is 0 if nothing of it is kept."""
        lead = limits.idle_us + limits.linger_us
        from_ms = max(0, (since_us - lead) // 1000 - _SLACK_MS)
        found = (await self._consumer.offsets_for_times({self._at: from_ms}))[self._at]
        if found is None or self._first == self._end:
            return Plan(self._end, until_us + lead, 0, None, ())
        said = []
        if found.offset == self._first > 0 and found.timestamp * 1000 > since_us:
            began = timestamp(found.timestamp * 1000)
            said.append(f"partition {self._at.partition} begins at {began}: what began before is not rebuilt")
        if found.offset > 0:
            said.append(
                f"partition {self._at.partition}: reading begins {lead / 1e6:g} s earlier, and ledger windows, which need the state, "
                "are left out"
            )
        return Plan(found.offset, until_us + lead, self._end, None, tuple(said))

    async def entries(self, after: int) -> AsyncIterator[Entry]:
        """All behind this position."""
        self._consumer.assign([self._at])
        self._consumer.seek(self._at, after)
        while await self._consumer.position(self._at) < self._end:
            for record in await self._fetched():
                entry = entry_of(record)
                if entry is None:
                    log.warning("the record at %s offset %d is none of Meshscribe's: it is passed over", self._at, record.offset)
                    continue
                yield entry

    async def _fetched(self) -> Sequence[ConsumerRecord]:
        try:
            found: Sequence[ConsumerRecord] = (await self._consumer.getmany(self._at, timeout_ms=WAIT_MS)).get(self._at, ())
        except CorruptRecordException as error:
            raise DamagedError(
                f"partition {self._at.partition} of {self._at.topic} is damaged behind position {await self._consumer.position(self._at)}:"
                " `meshscribe verify` names the place; what lies before it, or behind it, can be replayed with --from and --to"
            ) from error
        return found


class TopicHistory:
    """All partitions of the raw topic. `open` first, `close` at the end."""

    def __init__(self, settings: Kafka) -> None:
        self._settings, self._stack = settings, AsyncExitStack()

    async def open(self) -> Sequence[PartitionHistory]:
        """One for each partition. Raises RetryableError; SettingsError: there is no such topic; BadInputError: it is empty."""
        topic = await find_raw_topic(self._settings)
        parts = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        with translated(self._settings):
            reader = await self._stack.enter_async_context(
                consumer(self._settings, parts, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES)
            )
            firsts, ends = await reader.beginning_offsets(parts), await reader.end_offsets(parts)
        if all(firsts[at] == ends[at] for at in parts):
            raise BadInputError(f"topic {topic.name} keeps no entries: its retention.ms says how long they stay")
        return [PartitionHistory(reader, at, topic.journal(at.partition), firsts[at], ends[at]) for at in parts]

    async def close(self) -> None:
        await self._stack.aclose()
