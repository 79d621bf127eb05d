"""Where the journals under test are kept: each can be opened, closed and opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from collector import settings
from collector.demo.kafka_broker import KafkaBroker
from collector.journal import Journal
from collector.journal.kafka import KafkaJournal
from collector.journal.kafka_topic import find_raw_topic
from collector.journal.kafka_writer import RawWriter
from collector.journal.sqlite import open_journal
from collector.kafka.topics import create
from tests.support.clocks import TurnedClock
from tests.support.kafka import settings_for

MIB = 1 << 20
ALL = 64 * MIB


class Place(Protocol):
    """Where a journal is kept: it can be opened, closed and opened again."""

    clock: TurnedClock

    async def open(self, *, quota_bytes: int = ALL, keep_bytes: int = 0, max_waiting_bytes: int = ALL) -> Journal: ...

    async def close(self) -> None: ...


class SqlitePlace:
    """One file. `open` closes what was open before."""

    def __init__(self, folder: Path) -> None:
        self.clock = TurnedClock()
        self._path = folder / "journal.db"
        self._open: Journal | None = None

    async def open(self, *, quota_bytes: int = ALL, keep_bytes: int = 0, max_waiting_bytes: int = ALL) -> Journal:
        await self.close()
        chosen = settings.Journal(path=self._path, quota_bytes=quota_bytes, keep_bytes=keep_bytes)
        self._open = await open_journal(chosen, self.clock, max_waiting_bytes)
        return self._open

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()


class KafkaPlace:
    """One partition, with a writer as a receiver has it. Retention forgets, not the journal: a quota means nothing to it."""

    def __init__(self, kafka: KafkaBroker) -> None:
        self.clock = TurnedClock()
        self._settings = settings_for(kafka.bootstrap, raw_record_bytes=64 * MIB)
        self._writer: RawWriter | None = None
        self._open: KafkaJournal | None = None

    async def open(self, *, quota_bytes: int = ALL, keep_bytes: int = 0, max_waiting_bytes: int = ALL) -> Journal:
        await self.close()
        await create(self._settings, 1, None)
        topic = await find_raw_topic(self._settings)
        self._writer = RawWriter(self._settings, topic, self.clock, max_waiting_bytes)
        self._open = KafkaJournal(self._settings, topic, 0, self._writer, self.clock)
        return self._open

    async def close(self) -> None:
        if self._open is not None and self._writer is not None:
            await self._writer.close()
            await self._open.close()


def make_place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    return SqlitePlace(folder) if kind == "sqlite" else KafkaPlace(request.getfixturevalue("kafka"))
