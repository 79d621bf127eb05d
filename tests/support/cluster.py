"""Several `meshscribe serve --role …` on one broker, each a process of its own that a test may kill, stop and start again."""

from __future__ import annotations

import asyncio
import json
import os
import sysconfig
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from collector.demo.child import Child
from collector.demo.parts import answers
from collector.demo.ports import Ports
from collector.kafka.cloudevents import decode
from collector.kafka.topics import create
from collector.messages.completeness import Completeness
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE, Event
from collector.settings import Kafka
from tests.support.kafka import settings_for
from tests.support.waits import until

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "meshscribe")
SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "2",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "2",
    "MESHSCRIBE_CORRELATE__LATE_SECONDS": "1800",  # a test's outages, one after the other on a busy machine, are no reason to forget
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "1",
    "MESHSCRIBE_KAFKA__SESSION_SECONDS": "6",
    "MESHSCRIBE_SERVICES__SOURCE": "none",
}


class Member:
    """One process. `start` waits until it is alive, `launch` does not; `ready` says whether all its parts work."""

    def __init__(self, name: str, role: str, folder: Path, ports: Ports, environment: dict[str, str]) -> None:
        self.name = name
        self.ingest_port, self.grpc_port, self.audit_port = ports.take(), ports.take(), ports.take()
        variables = {
            "MESHSCRIBE_INGEST__PORT": str(self.ingest_port),
            "MESHSCRIBE_INGEST__GRPC_PORT": str(self.grpc_port),
            "MESHSCRIBE_AUDIT__PORT": str(self.audit_port),
            **SETTINGS,
            **environment,
        }
        self.process = Child(name, [SCRIPT, "serve", "--role", role], folder / f"{name}.log", variables)

    def start(self, page: str = "healthz") -> None:
        """Returns when this page answers 200: `healthz` comes before it listens to proxies, `readyz` when all it needs is there."""
        self.process.start(lambda: answers(f"{self.url}/{page}"), seconds=120)

    def launch(self) -> None:
        """Starts it without waiting: several do so at the same time."""
        self.process.start(lambda: True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.audit_port}"

    def components(self) -> dict[str, dict[str, Any]]:
        """What /readyz says, by part. Empty if it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        except OSError:
            return {}
        return {part["name"]: part for part in found["components"]}

    def partitions(self, topic: str) -> set[int]:
        """Which of the topic's partitions it works on."""
        return {int(name.rpartition("/")[2]) for name in self.components() if name.startswith(f"{topic}/")}

    def metrics(self) -> str:
        """The Prometheus text."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def count(self, path: str) -> int:
        """Items in all pages of a list of the audit API."""
        total, cursor = 0, ""
        while True:
            with urllib.request.urlopen(f"{self.url}{path}?limit=1000{cursor}", timeout=30) as answer:
                page = json.load(answer)
            total += len(page["items"])
            if "next" not in page:
                return total
            cursor = f"&cursor={page['next']}"

    @property
    def ready(self) -> bool:
        found = self.components()
        return bool(found) and all(part["ok"] for part in found.values())


def collector_alone(folder: Path, stack: ExitStack, environment: dict[str, str], page: str = "readyz") -> Member:
    """A collector of role all that runs until the stack ends, and expects the tap as its only witness by default."""
    settings = {"MESHSCRIBE_JOURNAL__PATH": str(folder / "journal.db"), "MESHSCRIBE_CORRELATE__EXPECT": "tap"}
    collector = Member("collector", "all", folder, stack.enter_context(Ports()), {**settings, **environment})
    stack.callback(collector.process.stop)
    collector.start(page)
    return collector


def rss_bytes(member: Member) -> int:
    """Its resident memory."""
    return int(Path(f"/proc/{member.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Cluster:
    """Topics of its own, and members that read and write them."""

    def __init__(self, bootstrap: str, folder: Path, stack: ExitStack, partitions: int = 4, **changes: Any) -> None:
        self._folder, self._stack = folder, stack
        self.partitions = partitions
        self.settings: Kafka = settings_for(bootstrap, **changes)
        self._ports = stack.enter_context(Ports())
        self._reading: Reading | None = None
        asyncio.run(create(self.settings, partitions, None))

    def member(self, name: str, role: str, **environment: str) -> Member:
        """A new member, not started."""
        topics = {f"MESHSCRIBE_KAFKA__{key.upper()}": value for key, value in self.settings.model_dump().items() if key.endswith("_topic")}
        servers = {"MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS": self.settings.bootstrap_servers}
        member = Member(name, role, self._folder, self._ports, {**topics, **servers, **environment})
        self._stack.callback(member.process.stop)
        return member

    def sqlite(self) -> str:
        """The URL of an SQLite store."""
        return f"sqlite:///{self._folder / 'store.db'}"

    def owners(self, members: Sequence[Member]) -> dict[int, list[str]]:
        """Partition → members that work on it."""
        found: dict[int, list[str]] = {number: [] for number in range(self.partitions)}
        for member in members:
            for number in member.partitions(self.settings.raw_topic):
                found[number].append(member.name)
        return found

    def owned(self, members: Sequence[Member]) -> bool:
        """Every partition has one owner, and all get on."""
        return all(len(names) == 1 for names in self.owners(members).values()) and all(member.ready for member in members)

    def events(self) -> Events:
        """What a read_committed consumer sees now."""
        settings = self.settings
        if self._reading is None:
            self._reading = Reading(settings.bootstrap_servers, [settings.exchanges_topic, settings.usage_topic])
            self._stack.callback(self._reading.close)
        return Events(self._reading.all())


READ_SECONDS = 5.0


class Reading:
    """Reads topics on and on: each call of `all` gets what came since the last, and gives all of it."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._loop = asyncio.new_event_loop()
        self._consumer: AIOKafkaConsumer | None = None
        self._bootstrap, self._topics = bootstrap, topics
        self._events: list[Event] = []

    def all(self) -> list[Event]:
        self._loop.run_until_complete(self._read())
        return self._events

    def close(self) -> None:
        if not self._loop.is_closed():
            if self._consumer is not None:
                self._loop.run_until_complete(self._consumer.stop())
            self._loop.close()

    async def _read(self) -> None:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
            )
            await self._consumer.start()
            for topic in self._topics:
                await self._consumer._client._wait_on_metadata(topic)
            self._consumer.assign([TopicPartition(t, p) for t in self._topics for p in self._consumer.partitions_for_topic(t) or ()])
        enough = time.monotonic() + READ_SECONDS  # under traffic there is always more
        while time.monotonic() < enough and (found := await self._consumer.getmany(timeout_ms=300)):
            self._events += [decode(record.headers, record.value).event for records in found.values() for record in records]


class Events:
    """Events as they were read, each as often as it is there. `completeness` is that of each request's newest revision."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self.ids = Counter(event.id for event in events)
        exchanges = [event for event in events if event.type == EXCHANGE_TYPE]
        self.requests = Counter(str(event.columns.request_id) for event in exchanges if event.columns.revision == 0)
        self.usages = Counter((event.extensions["exchange"], event.extensions["revision"]) for event in events if event.type == USAGE_TYPE)
        # An exchange of which only the access log came has no inference, and so no usage: its revision, with the tap, has.
        told = (event for event in exchanges if b'"inference":{' in event.data)
        self.billable = Counter((event.columns.exchange, event.columns.revision) for event in told)
        newest = {event.columns.request_id: event.columns for event in sorted(exchanges, key=lambda event: event.columns.revision)}
        self.completeness = Counter(Completeness(columns.completeness) for columns in newest.values())

    def of(self, kind: str) -> Counter[str]:
        """The ids of this type."""
        return Counter(event.id for event in self._events if event.type == kind)

    @property
    def twice(self) -> list[str]:
        """Ids of events that are there more than once, and requests with more than one exchange."""
        return [name for counter in (self.ids, self.requests) for name, times in counter.items() if times > 1]


def exactly_once(cluster: Cluster, wanted: set[str], seconds: float = 60.0) -> Events:
    """The events, once every request of `wanted` is among them. Raises AssertionError if one is missing or twice, or not wanted."""
    found = until(cluster.events, lambda events: wanted <= events.requests.keys(), seconds)
    lost = wanted - found.requests.keys()
    assert not lost, f"{len(lost)} of {len(wanted)} acknowledged exchanges are not there, e.g. {sorted(lost)[:5]}"
    assert not found.twice, f"{len(found.twice)} are there twice, e.g. {found.twice[:5]}"
    assert found.requests.total() == len(wanted)
    assert found.completeness.keys() <= {Completeness.COMPLETE, Completeness.ACCESS_LOG_MISSING}
    return found
