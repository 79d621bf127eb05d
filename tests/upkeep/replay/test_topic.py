"""`meshscribe replay` from the journal's topic: the events that the owners of its partitions wrote, made again; nobody is disturbed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from collector.cli import app
from collector.clock import SystemClock
from collector.demo.kafka_broker import KafkaBroker
from collector.journal.kafka_topic import find_raw_topic
from collector.journal.kafka_writer import RawWriter
from collector.messages.entry import Kind
from collector.settings import Kafka
from tests.support.kafka import new_topics
from tests.support.witnesses import Told, Vm, log_message, parts

NODES = [f"sidecar~10.0.0.{n}~p-{n}.demo~demo.svc.cluster.local" for n in range(6)]
PER_NODE = 5


class Command:
    def __init__(self, folder: Path, kafka: Kafka) -> None:
        self._file = folder / "c.yaml"
        topics = {key: value for key, value in kafka.model_dump().items() if key.endswith("_topic")}
        section = {"bootstrap_servers": kafka.bootstrap_servers, **topics}
        self._file.write_text(
            yaml.safe_dump({"journal": {"url": "kafka:"}, "kafka": section, "sink": {"url": f"sqlite:///{folder}/none.db"}})
        )

    async def __call__(self, *arguments: str) -> Result:
        """In a thread: commands have a loop of their own."""
        return await asyncio.to_thread(CliRunner().invoke, app, ["replay", *arguments, "--config", str(self._file)])


async def write(kafka: Kafka, start_us: int, nodes: Sequence[str] = NODES) -> None:
    """What these proxies tell of exchanges that began at this time."""
    async with AsyncExitStack() as stack:
        writer = RawWriter(kafka, await find_raw_topic(kafka), SystemClock(), 1 << 26)
        stack.push_async_callback(writer.close)
        for number, node in enumerate(nodes):
            told = [Told(n, f"{number}-{n}", start_us + n, f"10.0.0.{number}:{1024 + n}") for n in range(PER_NODE)]
            batch = Vm(name=f"{number:016x}", node=node).seal([part for one in told for part in parts(one)])
            await writer.append(Kind.TAP, node, batch.SerializeToString())
            await writer.append(Kind.ACCESS_LOG, node, log_message(told, node).SerializeToString())


@pytest.fixture
async def topics(kafka: KafkaBroker) -> Kafka:
    return await new_topics(kafka.bootstrap, 3)


async def test_all_partitions_are_read_and_only_what_began_in_the_span_is_rebuilt(topics: Kafka, tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    await write(topics, now_us)
    await write(topics, now_us - 7_200_000_000, [f"old-{node}" for node in NODES])
    replay = Command(tmp_path, topics)
    done = await replay("--from", "15m", "--to", "0s")
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    exchanges = [event for event in events if event["type"] == "meshscribe.exchange.v1"]
    wanted = {f"{number}-{n}" for number in range(len(NODES)) for n in range(PER_NODE)}
    assert {event["data"]["request"]["id"] for event in exchanges} == wanted
    assert len(exchanges) == len(wanted)
    assert len({event["journal"] for event in exchanges}) > 1, "they came by several partitions"
    assert f"{len(events)} events rebuilt" in done.stderr


async def test_into_a_store_a_second_time_changes_nothing(topics: Kafka, tmp_path: Path) -> None:
    await write(topics, time.time_ns() // 1000)
    replay = Command(tmp_path, topics)
    for _ in range(2):
        done = await replay("--from", "15m", "--into", f"sqlite:///{tmp_path}/into.db")
        assert done.exit_code == 0, done.output
    connection = sqlite3.connect(tmp_path / "into.db")
    assert connection.execute("SELECT count(*), count(DISTINCT request_id) FROM exchanges").fetchone() == (30, 30)
    connection.close()


async def test_a_span_or_a_topic_with_nothing_in_it_is_told(topics: Kafka, tmp_path: Path) -> None:
    replay = Command(tmp_path, topics)
    empty = await replay("--from", "15m")
    assert (empty.exit_code, "keeps no entries" in empty.stderr) == (2, True)
    await write(topics, time.time_ns() // 1000)
    later = await replay("--from", "2100-01-01T00:00:00Z", "--to", "2100-01-01T01:00:00Z")
    assert (later.exit_code, "nothing of this span is kept" in later.stderr) == (2, True)
