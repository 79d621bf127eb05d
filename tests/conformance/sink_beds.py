"""The stores that tests/conformance/test_sink.py runs on: real files, a real Postgres, a real Kafka."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from collector.demo.kafka_broker import KafkaBroker
from collector.errors import RetryableError
from collector.kafka.topics import create
from collector.messages.event import Output, Place
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import KafkaSink, event_topics
from collector.sinks.open import open_sink
from collector.sinks.protocol import Target
from collector.store.events import payload_bytes
from collector.store.migrate import migrate
from collector.store.schema import exchanges as exchange_table
from collector.store.schema import ledger, payloads
from tests.support.clocks import TurnedClock
from tests.support.events import NOW_US, exchange, window
from tests.support.kafka import event_ids, read_all, settings_for
from tests.support.postgres import Database
from tests.support.sql import rows

OTHER = "0192bbbb-0000-7000-8000-000000000002"


class Bed(ABC):
    """A store, sinks on it, and a look at what it holds that does not go through a sink."""

    largest_body: int | None = None  # bytes; larger ones are cut

    async def prepare(self) -> None:
        """Makes the store."""
        return

    def poison(self, place: Place) -> Output:
        """What it can never hold."""
        return exchange(place, NOW_US + 5, node=None)

    @abstractmethod
    def sink(self) -> Target:
        """Another sink on the same store, as after a restart of the process."""

    @abstractmethod
    async def events(self) -> list[str]:
        """The ids of all events it holds, in any order, each as often as it is held."""

    @abstractmethod
    async def records(self) -> list[bytes]:
        """The data of the exchange events."""

    @abstractmethod
    async def bodies(self) -> list[bytes]:
        """The data of the payload events, decompressed."""

    @abstractmethod
    async def newest(self) -> list[tuple[str, int]]:
        """(exchange, revision) of the exchange events that no later revision replaces."""

    @abstractmethod
    async def fail(self) -> None:
        """The store stops taking anything."""

    @abstractmethod
    async def mend(self) -> None:
        """The store works again."""

    async def close(self) -> None:
        """Ends what the bed itself holds."""
        return


class SqlBed(Bed):
    """A store that SQLAlchemy reads."""

    def __init__(self, url: str) -> None:
        self.settings = SinkSettings(url=url)

    def sink(self) -> Target:
        return open_sink(self.settings, TurnedClock(NOW_US))

    async def events(self) -> list[str]:
        return [row.id for table in (exchange_table, payloads, ledger) for row in await rows(self.settings, select(table.c.id))]

    async def records(self) -> list[bytes]:
        return [row.data for row in await rows(self.settings, select(exchange_table.c.data).order_by(exchange_table.c.position))]

    async def bodies(self) -> list[bytes]:
        return [payload_bytes(row) for row in await rows(self.settings, select(payloads))]

    async def newest(self) -> list[tuple[str, int]]:
        wanted = select(exchange_table.c.exchange, exchange_table.c.revision).where(exchange_table.c.superseded.is_(False))
        return [tuple(row) for row in await rows(self.settings, wanted)]


class SqliteBed(SqlBed):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.db"
        super().__init__(f"sqlite:///{self.path}")
        migrate(self.settings.url)

    async def fail(self) -> None:
        self._rename("places", "away")

    async def mend(self) -> None:
        self._rename("away", "places")

    def _rename(self, table: str, name: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")
        connection.close()


class PostgresBed(SqlBed):
    def __init__(self, database: Database) -> None:
        super().__init__(database.url)
        self.server = database.postgres

    async def fail(self) -> None:
        await asyncio.to_thread(self.server.stop, "immediate")

    async def mend(self) -> None:
        await asyncio.to_thread(self.server.start)


class KafkaBed(Bed):
    """Topics on the session's broker. An event is known by its journal and place, not by its id."""

    largest_body = 4 << 20

    def __init__(self, broker: KafkaBroker, relay: str | None = None) -> None:
        self.broker, self.relay = broker, relay
        self.settings = settings_for(broker.bootstrap, timeout_seconds=10, max_record_bytes=self.largest_body)

    async def prepare(self) -> None:
        await create(self.settings, 3, None)

    def sink(self) -> Target:
        return KafkaSink(self.settings, self.relay)

    def poison(self, place: Place) -> Output:
        [event] = window(place).events
        return Output(place, (event._replace(data=bytes(5 << 20)),))

    async def events(self) -> list[str]:
        return event_ids(await read_all(self.broker.bootstrap, *sorted(set(event_topics(self.settings).values()))))

    async def records(self) -> list[bytes]:
        return [record.value for record in await read_all(self.broker.bootstrap, self.settings.exchanges_topic)]

    async def bodies(self) -> list[bytes]:
        return [record.value for record in await read_all(self.broker.bootstrap, self.settings.payloads_topic)]

    async def newest(self) -> list[tuple[str, int]]:
        found: dict[str, int] = {}
        for record in await read_all(self.broker.bootstrap, self.settings.exchanges_topic):
            named = dict(record.headers)
            name, revision = named["ce_exchange"].decode(), int(named["ce_revision"])
            found[name] = max(revision, found.get(name, 0))
        return list(found.items())

    async def fail(self) -> None:
        self.broker.kill()

    async def mend(self) -> None:
        self.broker.start()
        probe = self.sink()
        async with asyncio.timeout(120):
            while True:
                try:
                    await probe.high("probe")
                except RetryableError:  # its coordinators are still loading
                    continue
                break
        await probe.close()


BEDS: dict[str, Callable[[pytest.FixtureRequest], Bed]] = {
    "sqlite": lambda request: SqliteBed(request.getfixturevalue("tmp_path")),
    "postgres": lambda request: PostgresBed(request.getfixturevalue("database")),
    "kafka": lambda request: KafkaBed(request.getfixturevalue("kafka")),
    "kafka-relay": lambda request: KafkaBed(request.getfixturevalue("kafka"), "r"),
}
BY_ID = ["sqlite", "postgres"]  # those that know an event by its id, wherever it comes from
