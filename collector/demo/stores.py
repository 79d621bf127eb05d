"""What each store needs besides the collector: servers, tables and topics before it, roles beside it, settings for all of them.

sqlite: nothing. postgres: a server and its tables. kafka: a broker and its topics; the collector (receive and process) keeps its journal
there and writes its events there, role store copies them into SQLite, and role audit answers from that.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.kafka_jars import jars, java
from collector.demo.part import Part, command, process
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.demo.postgres import Postgres

MESHSCRIBE = str(Path(sysconfig.get_path("scripts")) / "meshscribe")
PARTITIONS = "2"
SQLITE, POSTGRES, KAFKA = "sqlite", "postgres", "kafka"

Settings = Mapping[str, str]
Tell = Callable[[str], None]


class Store(NamedTuple):
    """`before` is started before the collector, `beside` after it. `bootstrap`: Kafka's address, where it is the store."""

    before: Sequence[Part]
    collector: CollectorProcess
    beside: Sequence[Part]
    audit_url: str
    bootstrap: str = ""


def sqlite(ports: Ports, folder: Path, settings: Settings, _tell: Tell) -> Store:
    """Everything in one process."""
    collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, settings)
    return Store([], collector, [], collector.url)


def postgres(ports: Ports, folder: Path, settings: Settings, _tell: Tell) -> Store:
    """Raises PostgresMissingError."""
    server = Postgres(folder)
    url = {"MESHSCRIBE_SINK__URL": server.url}
    collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, {**settings, **url})
    before = [
        Part("starting Postgres", server.start, server.stop, server.check),
        command("making the tables: meshscribe migrate", [MESHSCRIBE, "migrate"], url),
    ]
    return Store(before, collector, [], collector.url)


def kafka(ports: Ports, folder: Path, settings: Settings, tell: Tell) -> Store:
    """Raises KafkaMissingError, after the jars were looked for where they can be had."""
    java()
    tell("looking for Apache Kafka; the first time it is fetched: 45 MB")
    jars()
    broker = KafkaBroker(ports.take(), ports.take(), folder / "kafka")
    there = {"MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap}
    common = {**settings, **there}
    collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, {**common, "MESHSCRIBE_JOURNAL__URL": "kafka:"})
    store, audit = (CollectorProcess(0, 0, ports.take(), folder, common, role) for role in ("store", "audit"))
    create = [MESHSCRIBE, "kafka", "topics", "--create", "--partitions", PARTITIONS]
    before = [
        process("starting Kafka", broker.start, broker.process),
        command("making the topics: meshscribe kafka topics --create", create, there),
    ]
    beside = [
        process("starting role store: Kafka to SQLite", store.start, store.process),
        process("starting role audit", audit.start, audit.process),
    ]
    return Store(before, collector, beside, audit.url, broker.bootstrap)


OPEN: Mapping[str, Callable[[Ports, Path, Settings, Tell], Store]] = {SQLITE: sqlite, POSTGRES: postgres, KAFKA: kafka}
