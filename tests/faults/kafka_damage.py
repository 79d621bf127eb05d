"""A raw topic of one partition whose log is damaged while its broker is away, and what becomes of it when both go on."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka import TopicPartition

from collector.clock import SystemClock
from collector.enrich.directory import Directory
from collector.journal.kafka_topic import RawTopic, find_raw_topic
from collector.journal.kafka_writer import RawWriter
from collector.kafka.cloudevents import decode
from collector.messages.columns import ExchangeColumns
from collector.messages.entry import Kind
from collector.messages.event import LEDGER_TYPE, Event
from collector.roles.parts import patiently
from collector.roles.process import PartitionPipeline
from collector.roles.supervisor import Supervisor
from collector.settings import Settings
from tests.faults.damage import told
from tests.support.kafka import new_topics, read_all
from tests.support.witnesses import NODE, Told, Vm, parts

STORED, WAITING, MORE = 30, 60, 20
BLOCK = 4096
SEGMENT = "00000000000000000000"
HOPELESS = ("kafka.raw_topic", "cannot be read")  # what /readyz says of a partition that does not go on by itself


class Damage(NamedTuple):
    """What was done to the segment, and whether its broker looks at it when it starts: it does after a crash only."""

    kind: str
    where: str
    crash: bool


class Found(NamedTuple):
    """What a consumer reads. `served`: how often each request has an exchange; `wrong`: those that are not as they were sent."""

    served: Counter[str]
    wrong: list[str]
    told: list[str]


class Raw:
    """The partition, its proxy, and the process that owns it."""

    def __init__(self, settings: Settings, data: Path, kept: Path) -> None:
        self.settings, self.sent, self.vm = settings, 0, Vm()
        self.acknowledged = set[str]()
        self.at = TopicPartition(settings.kafka.raw_topic, 0)
        self._before = b""  # of the segment, before it was damaged
        self._segment, self._kept = data / f"{settings.kafka.raw_topic}-0" / f"{SEGMENT}.log", kept / settings.kafka.raw_topic

    @classmethod
    async def made(cls, bootstrap: str, data: Path, kept: Path) -> Raw:
        settings = Settings(
            role="process",
            kafka=await new_topics(bootstrap, 1),
            services={"source": "none"},
            correlate={"expect": "tap", "ledger_seconds": 1, "linger_seconds": 1},
            journal={"checkpoint_seconds": 0.2},
        )
        return cls(settings, data, kept)

    async def send(self, number: int) -> int:
        """So many more exchanges, each in a batch of its own. Returns the last one's position."""
        topic = await self._topic()
        writer, position = RawWriter(self.settings.kafka, topic, SystemClock(), 1 << 26), 0
        try:
            for _ in range(number):
                self.sent += 1
                position = await writer.append(Kind.TAP, NODE, self.vm.seal(parts(_exchange(self.sent))).SerializeToString())
                self.acknowledged.add(f"r{self.sent}")
        finally:
            await writer.close()
        return position

    async def _topic(self) -> RawTopic:
        """As the roles find it: a broker that has just begun may not be ready."""
        return await patiently(lambda: find_raw_topic(self.settings.kafka), SystemClock())

    def keep(self) -> None:
        """A copy of the partition's folder as it is now, to be put back later."""
        shutil.copytree(self._segment.parent, self._kept)

    def damage(self, kind: str, chance: random.Random, crash: bool) -> Damage:
        """Something that a disk does, or who restores it."""
        self._before = self._segment.read_bytes()
        data = bytearray(self._before)
        at = chance.randrange(len(data))
        if kind == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "zero block":
            at -= at % BLOCK
            data[at : at + BLOCK] = bytes(min(BLOCK, len(data) - at))
        elif kind == "cut":
            del data[at:]
        else:
            shutil.rmtree(self._segment.parent)
            shutil.copytree(self._kept, self._segment.parent)
            return Damage(kind, "all", crash)
        self._segment.write_bytes(data)
        return Damage(kind, f"byte {at}", crash)

    def heal(self) -> None:
        """The segment as it was before it was damaged."""
        self._segment.write_bytes(self._before)

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[Supervisor]:
        """By a process that goes on until this ends."""
        clock, kafka = SystemClock(), self.settings.kafka
        topic = await self._topic()
        writer, directory = RawWriter(kafka, topic, clock, 1 << 26), Directory(self.settings.services, None, clock)
        await directory.start()
        owner = Supervisor(lambda at: PartitionPipeline(self.settings, topic, at.partition, writer, directory, clock), 6, clock)
        await owner.assign(frozenset({self.at}))
        try:
            yield owner
        finally:
            await owner.close()
            await writer.close()
            await directory.stop()

    async def settled(self, owner: Supervisor, position: int, seconds: float = 60.0) -> str:
        """Waits until all up to there is stored, or why it is not is told. Returns that, or nothing."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            (part,) = owner.components()
            work = owner.works[self.at]
            assert isinstance(work, PartitionPipeline)
            if not part.ok and any(word in part.detail for word in HOPELESS):
                return part.detail
            if (
                work.pipeline is not None
                and work.correlator is not None
                and await work.pipeline.drained(position, 1)
                and work.correlator.quiet
            ):
                return ""
            await asyncio.sleep(0.05)
        raise AssertionError(f"it neither goes on nor says why: {part}, settled {work.pipeline and work.pipeline.settled} of {position}")

    async def found(self) -> Found:
        kafka = self.settings.kafka
        topics = (kafka.exchanges_topic, kafka.ledger_topic, kafka.dead_letters_topic)
        records = await read_all(kafka.bootstrap_servers, *topics)
        events = [decode(record.headers, record.value).event for record in records if record.topic != kafka.dead_letters_topic]
        exchanges = [(one, one.columns) for one in events if isinstance(one.columns, ExchangeColumns)]
        wrong = [str(columns.request_id) for one, columns in exchanges if not _as_sent(one)]
        said = [record.value.decode("utf-8", "replace") for record in records if record.topic == kafka.dead_letters_topic and record.value]
        said += [lost for one in events if one.type == LEDGER_TYPE for lost in _lost(orjson.loads(one.data))]
        return Found(Counter(str(columns.request_id) for _, columns in exchanges if not columns.revision), wrong, said)


def _exchange(number: int) -> Told:
    return replace(told(number), start_us=time.time_ns() // 1000)


def _as_sent(event: Event) -> bool:
    """Complete and with the bodies of this exchange; or it says that something is missing."""
    record: dict[str, Any] = orjson.loads(event.data)
    if record["completeness"]:
        return True
    sent = told(int(record["request"]["id"][1:]))
    for side, body in (("request", sent.request), ("response", sent.response_body)):
        if record[side]["body"]["sha256"] != hashlib.sha256(body).hexdigest():
            return False
    return True


def _lost(window: dict[str, Any]) -> list[str]:
    return [f"{name} {window[name]}" for name in ("missing", "away", "malformed") if window.get(name)]
