"""Ways that a relay may stand on: a sink, seen from outside, and a target that can be dead."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from collector.kafka.cloudevents import decode
from collector.kafka.topics import create
from collector.messages.event import EXCHANGE_TYPE
from collector.settings import Kafka
from tests.support.kafka import read_all, settings_for
from tests.support.postgres import Database


class Sink(Protocol):
    """Where the relay reads, seen from outside: from the tap's thread. `environment`: the settings that lead there."""

    environment: dict[str, str]

    def has(self, request_id: str) -> bool:
        """Whether this exchange is stored."""
        ...

    def exchanges(self) -> list[str]:
        """Ids of all exchange events, in their order."""
        ...


class Sqlite:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.environment = {"MESHSCRIBE_SINK__URL": f"sqlite:///{path}"}

    def has(self, request_id: str) -> bool:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        return self._connection.execute("SELECT 1 FROM exchanges WHERE request_id = ?", (request_id,)).fetchone() is not None

    def exchanges(self) -> list[str]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM exchanges ORDER BY journal, position, ordinal")]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Events:
    """The exchanges topic, of one partition, read on and on."""

    def __init__(self, settings: Kafka) -> None:
        self._settings, self._requests = settings, set[str]()
        self._loop = asyncio.new_event_loop()
        self._consumer: AIOKafkaConsumer | None = None
        self.environment = {"MESHSCRIBE_SINK__URL": "kafka:", **_topics(settings)}

    def has(self, request_id: str) -> bool:
        if request_id not in self._requests:
            self._loop.run_until_complete(self._read())
        return request_id in self._requests

    def exchanges(self) -> list[str]:
        records = asyncio.run(read_all(self._settings.bootstrap_servers, self._settings.exchanges_topic))
        return [dict(record.headers)["ce_id"].decode() for record in records]

    async def _read(self) -> None:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._settings.bootstrap_servers, isolation_level="read_committed", auto_offset_reset="earliest"
            )
            self._consumer.assign([TopicPartition(self._settings.exchanges_topic, 0)])
            await self._consumer.start()
        for records in (await self._consumer.getmany(timeout_ms=200)).values():
            self._requests.update(str(decode(record.headers, record.value).event.columns.request_id) for record in records)

    def close(self) -> None:
        if self._consumer is not None:
            self._loop.run_until_complete(self._consumer.stop())
        self._loop.close()


class End(Protocol):
    """A relay's target that can be dead. `environment`: the collector's settings that lead there."""

    environment: dict[str, str]

    def die(self) -> None: ...
    def revive(self) -> None: ...
    def exchanges(self) -> list[str]:
        """Ids of exchange events, in the order they came, as often as they came. Raises OSError while it is dead."""
        ...


class Http:
    """A receiver of batches on a port that stays its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._port = stack.enter_context(Ports()).take()
        self._ids: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        relay = {"name": "r", "to": "http", "mode": "batch", "url": f"http://127.0.0.1:{self._port}/"}
        self.environment = {"MESHSCRIBE_RELAYS": json.dumps([relay])}
        self.revive()
        stack.callback(self.die)

    def revive(self) -> None:
        ids = self._ids

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
                ids.extend(event["id"] for event in batch if event["type"] == EXCHANGE_TYPE)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def die(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def exchanges(self) -> list[str]:
        """Each once: what a target takes long to answer is sent again, and receivers know it by its id."""
        return list(dict.fromkeys(self._ids))


class Topics:
    """The topics of a broker that is killed."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self._settings = settings_for(broker.bootstrap)
        asyncio.run(create(self._settings, 1, None))
        timeout = {"MESHSCRIBE_KAFKA__TIMEOUT_SECONDS": "5"}
        self.environment = {**_topics(self._settings), **timeout, "MESHSCRIBE_RELAYS": '[{"name":"r","to":"kafka"}]'}

    def die(self) -> None:
        self._broker.kill()

    def revive(self) -> None:
        self._broker.start()

    def exchanges(self) -> list[str]:
        records = asyncio.run(read_all(self._settings.bootstrap_servers, self._settings.exchanges_topic))
        return [dict(record.headers)["ce_id"].decode() for record in records]


class Store:
    """A Postgres server that is stopped as by a crash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        relay = {"name": "r", "to": "sql", "url": database.url}
        self.environment = {"MESHSCRIBE_RELAYS": json.dumps([relay])}

    def die(self) -> None:
        self._database.postgres.stop("immediate")

    def revive(self) -> None:
        self._database.postgres.start()

    def exchanges(self) -> list[str]:
        rows = self._database.postgres.run("SELECT id FROM exchanges ORDER BY journal, position, ordinal", self._database.name)
        return [row["id"] for row in rows]


def _topics(settings: Kafka) -> dict[str, str]:
    named = {f"MESHSCRIBE_KAFKA__{key.upper()}": value for key, value in settings.model_dump().items() if key.endswith("_topic")}
    return {**named, "MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS": settings.bootstrap_servers}


class Way(NamedTuple):
    """From the sink to the relay's target."""

    sink: Sqlite | Events
    end: End


def _from_sqlite(request: pytest.FixtureRequest, end: End) -> Way:
    return Way(Sqlite(request.getfixturevalue("tmp_path") / "events.db"), end)


def _from_kafka(request: pytest.FixtureRequest) -> Way:
    settings = settings_for(request.getfixturevalue("kafka").bootstrap)
    asyncio.run(create(settings, 1, None))
    return Way(Events(settings), Store(request.getfixturevalue("database")))


WAYS: dict[str, Callable[[pytest.FixtureRequest, ExitStack], Way]] = {
    "http": lambda request, stack: _from_sqlite(request, Http(stack)),
    "kafka": lambda request, stack: _from_sqlite(request, Topics(request.getfixturevalue("kafka"))),
    "sql": lambda request, stack: _from_kafka(request),
}
