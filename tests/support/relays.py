"""What the relay suites stand on: origins (a sink that is filled, with feeds on it) and ends (a target with a look at what it holds)."""

from __future__ import annotations

import asyncio
import math
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select

from collector.dead_letters import DeadLetter, Heap, heaped
from collector.errors import PermanentError
from collector.messages.event import Event, Output, Place
from collector.relays.http_client import Client
from collector.relays.http_target import HttpTarget
from collector.relays.kafka_feed import KafkaFeed, KafkaPlaces
from collector.relays.open import IN_SQL, TYPES
from collector.relays.places import SqlPlaces
from collector.relays.protocol import Feed
from collector.relays.relay import Relay
from collector.relays.repeats import Patience
from collector.relays.sql_feed import SqlFeed
from collector.settings import Kafka
from collector.settings import Relay as RelaySettings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import KafkaSink, event_topics
from collector.sinks.open import open_sink
from collector.sinks.protocol import Sink, Target
from collector.store.engine import open_engine
from collector.store.schema import exchanges, ledger, payloads
from tests.support.clocks import TurnedClock
from tests.support.events import NOW_US
from tests.support.http_receiver import Receiver
from tests.support.kafka import read_all, unique
from tests.support.sql import rows
from tests.support.waits import until_holds

ALL = frozenset(TYPES.values())
CLOCK = TurnedClock(NOW_US)
BATCH, BATCH_BYTES = 7, 1 << 20


class Letters:
    """Dead letters in memory: the real stores have tests of their own."""

    def __init__(self) -> None:
        self.held: dict[str, DeadLetter] = {}

    async def add(self, *letters: DeadLetter) -> None:
        self.held.update((letter.id, letter) for letter in letters)

    async def heaps(self) -> Sequence[Heap]:
        return heaped(list(self.held.values()))

    async def all(self) -> AsyncIterator[DeadLetter]:
        for letter in list(self.held.values()):
            yield letter

    async def drop(self, ids: Sequence[str]) -> int:
        return len([self.held.pop(name) for name in ids if name in self.held])

    async def close(self) -> None:
        """Nothing is open."""


class Origin(ABC):
    """A sink that a test fills, and feeds on it."""

    types = ALL

    @abstractmethod
    async def fill(self, journal: str, outputs: Sequence[Output]) -> None:
        """Stores them, with the last one's place as `high`."""

    @abstractmethod
    def feed(self) -> Feed: ...

    @abstractmethod
    def places(self, feed: Feed, relay: str) -> Any: ...


class SqlOrigin(Origin):
    def __init__(self, url: str) -> None:
        self.settings = SinkSettings(url=url)

    async def fill(self, journal: str, outputs: Sequence[Output]) -> None:
        sink = open_sink(self.settings, CLOCK)
        await sink.write(journal, outputs, outputs[-1].place)
        await sink.close()

    def feed(self) -> SqlFeed:
        return SqlFeed(open_engine(self.settings), self.types, BATCH, BATCH_BYTES)

    def places(self, feed: Feed, relay: str) -> SqlPlaces:
        return SqlPlaces(open_engine(self.settings), relay)


class KafkaOrigin(Origin):
    def __init__(self, settings: Kafka) -> None:
        self.settings, self.group = settings, unique("relay")

    async def fill(self, journal: str, outputs: Sequence[Output]) -> None:
        sink = KafkaSink(self.settings)
        await sink.write(journal, outputs, outputs[-1].place)
        await sink.close()

    def feed(self) -> KafkaFeed:
        topics = [topic for kind, topic in event_topics(self.settings).items() if kind in self.types]
        return KafkaFeed(self.settings, self.group, topics, BATCH, BATCH_BYTES)

    def places(self, feed: Feed, relay: str) -> KafkaPlaces:
        assert isinstance(feed, KafkaFeed)
        return KafkaPlaces(feed)


class End(ABC):
    """Where a relay writes. `exact`: every event comes once, whatever happens; else again with the same id."""

    exact = True
    types = ALL

    @abstractmethod
    def target(self, origin: Origin, feed: Feed) -> Target:
        """Another target on the same place, as after a restart."""

    @abstractmethod
    async def lines(self) -> list[list[str]]:
        """The ids held, in lines whose order must be that of the journal."""

    async def ids(self) -> list[str]:
        return sorted(name for line in await self.lines() for name in line)

    @abstractmethod
    async def data(self) -> dict[str, bytes]:
        """The data of the events, by id."""

    @abstractmethod
    async def fail(self) -> None: ...

    @abstractmethod
    async def mend(self) -> None: ...

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """Ends what the test itself holds."""


class NoRepeats(Patience):
    """What is counted is what a relay sends. On a busy machine any answer is late, and its repeat would be one more (test_repeats.py)."""

    def seconds(self, copies: int) -> float:
        return math.inf


class HttpEnd(End):
    exact = False

    def __init__(self, mode: str) -> None:
        self.mode, self.receiver, self.relay = mode, Receiver(), unique("r")

    def target(self, origin: Origin, feed: Feed) -> HttpTarget:
        settings = RelaySettings(name=self.relay, to="http", url=self.receiver.url, timeout_seconds=30)
        places = origin.places(feed, self.relay)
        return HttpTarget(Client(settings), places, CLOCK, mode=self.mode, batch=5, batch_bytes=BATCH_BYTES, patience=NoRepeats())

    async def lines(self) -> list[list[str]]:
        found = defaultdict(list)
        for event in self.receiver.events:
            found[event.get_extension("journal")].append(event.get_id())
        return list(found.values())

    async def data(self) -> dict[str, bytes]:
        return {event.get_id(): _bytes(event.get_data()) for event in self.receiver.events}

    async def fail(self) -> None:
        await self.receiver.stop()

    async def mend(self) -> None:
        await self.receiver.start()

    async def close(self) -> None:
        await self.receiver.close()


class KafkaEnd(End):
    def __init__(self, settings: Kafka, stop: Callable[[], None], start: Callable[[], None]) -> None:
        self.settings, self.relay, self._stop, self._start = settings, unique("r"), stop, start

    def target(self, origin: Origin, feed: Feed) -> KafkaSink:
        return KafkaSink(self.settings, self.relay)

    async def lines(self) -> list[list[str]]:
        found = defaultdict(list)
        for record in await self._records():
            named = dict(record.headers)
            found[named["ce_journal"], record.topic, record.partition].append(named["ce_id"].decode())
        return list(found.values())

    async def data(self) -> dict[str, bytes]:
        return {dict(record.headers)["ce_id"].decode(): record.value for record in await self._records()}

    async def _records(self) -> Any:
        return await read_all(self.settings.bootstrap_servers, *sorted(set(event_topics(self.settings).values())))

    async def fail(self) -> None:
        self._stop()

    async def mend(self) -> None:
        self._start()  # in this thread: what a thread starts may end with it


class SqlEnd(End):
    types = IN_SQL

    def __init__(self, url: str, stop: Callable[[], None], start: Callable[[], None]) -> None:
        self.settings, self._stop, self._start = SinkSettings(url=url), stop, start

    def target(self, origin: Origin, feed: Feed) -> Target:
        return open_sink(self.settings, CLOCK)

    async def lines(self) -> list[list[str]]:
        found = defaultdict(list)
        for table in (exchanges, ledger):
            wanted = select(table.c.journal, table.c.id).order_by(table.c.position, table.c.ordinal)
            for row in await rows(self.settings, wanted):
                found[row.journal].append(row.id)
        return [*found.values(), *([row.id] for row in await rows(self.settings, select(payloads.c.id)))]

    async def data(self) -> dict[str, bytes]:
        from collector.store.events import payload_event

        found = {row.id: bytes(row.data) for t in (exchanges, ledger) for row in await rows(self.settings, select(t.c.id, t.c.data))}
        return {**found, **{row.id: payload_event(row).data for row in await rows(self.settings, select(payloads))}}

    async def fail(self) -> None:
        self._stop()

    async def mend(self) -> None:
        self._start()  # in this thread: what a thread starts may end with it


class CrashError(Exception):
    """The process ended here."""


class Crashing:
    """A target whose process ends at the n-th put: before it was done, or behind it. `refused`: ids that it refuses for ever."""

    def __init__(self, inner: Sink, at: int = -1, behind: bool = False, refused: Iterable[str] = ()) -> None:
        self._inner, self._at, self._behind, self._refused = inner, at, behind, set(refused)
        self.puts = 0

    async def high(self, journal: str) -> Place:
        return await self._inner.high(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        self.puts += 1
        if any(event.id in self._refused for output in outputs for event in output.events):
            raise PermanentError("refused")
        if self.puts == self._at and not self._behind:
            raise CrashError
        await self._inner.write(journal, outputs, high)
        if self.puts == self._at:
            raise CrashError

    async def close(self) -> None:
        await self._inner.close()


@asynccontextmanager
async def relay(origin: Origin, end: End, letters: Letters, **crash: Any) -> AsyncIterator[Relay]:
    """A relay that is not running, with ends of its own."""
    feed = origin.feed()
    target = Crashing(end.target(origin, feed), **crash)
    try:
        yield Relay("r", feed, target, letters, CLOCK, types=origin.types & end.types, random=random.Random(1).random, idle_seconds=0.02)
    finally:
        await target.close()
        await feed.close()


@asynccontextmanager
async def running(made: Relay) -> AsyncIterator[asyncio.Task[None]]:
    """Runs it, and stops it at the end."""
    task = asyncio.create_task(made.run())
    try:
        yield task
    finally:
        made.stop()
        done, late = await asyncio.wait({task}, timeout=20)
        for one in late:
            one.cancel()
        if done:
            task.result()


async def moved(made: Relay, end: End, expected: Sequence[str]) -> None:
    """Runs the relay until its target holds these ids (as a set)."""

    async def there() -> bool:
        return set(await end.ids()) >= set(expected)

    async with running(made):
        await until_holds(there)


def events_of(outputs: Iterable[Output], origin: Origin, end: End) -> list[Event]:
    """The events that have to arrive."""
    wanted = origin.types & end.types
    return [event for output in outputs for event in output.events if event.type in wanted]


def _bytes(data: Any) -> bytes:
    import orjson

    if data is None:
        return b""
    return data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else orjson.dumps(data)
