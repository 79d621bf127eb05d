"""docs/billing_consumer.py bills every exchange once, whatever is repeated, aborted, revised or killed."""

from __future__ import annotations

import asyncio
import importlib.util
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.clients import discard
from collector.kafka.transactions import Transactions
from collector.messages.event import USAGE_TYPE, Output, Place
from collector.settings import Kafka
from collector.sinks.kafka import KafkaSink, records
from tests.support.kafka import new_topics
from tests.support.outputs import chats, outputs
from tests.support.waits import until_holds

PAGE = Path(__file__).parents[2] / "docs" / "billing.md"
SCRIPT = PAGE.with_name("billing_consumer.py")
LOCK = Path(__file__).parents[2] / "requirements.lock"
Charges = list[tuple[str, int, int]]


@pytest.fixture
async def settings(kafka: KafkaBroker) -> Kafka:
    """Topics of its own, and a new name of the group's topic: offsets of the group `billing` are per topic."""
    return await new_topics(kafka.bootstrap)


@pytest.fixture
async def sink(settings: Kafka) -> AsyncIterator[KafkaSink]:
    sink = KafkaSink(settings)
    yield sink
    await sink.close()


def bill() -> Callable[[str, str, str], Any]:
    spec = importlib.util.spec_from_file_location("billing_consumer", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.bill  # type: ignore[no-any-return]


@asynccontextmanager
async def billing(settings: Kafka, database: Path) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(bill()(settings.bootstrap_servers, str(database), settings.usage_topic))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def charged(database: Path) -> Charges:
    """(exchange, revision, tokens), as far as there is a table yet."""
    connection = sqlite3.connect(database)
    try:
        return connection.execute("SELECT exchange, revision, tokens FROM charges ORDER BY exchange").fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def expected(of: list[Output]) -> Charges:
    usages = [orjson.loads(event.data) for output in of for event in output.events if event.type == USAGE_TYPE]
    return sorted((usage["exchange"], usage["revision"], 5) for usage in usages)


def revised(of: Output, revision: int, tokens: int, billable: bool = True) -> Output:
    """The usage event of an exchange as a later revision of it says."""
    [event] = [event for event in of.events if event.type == USAGE_TYPE]
    usage = orjson.loads(event.data)
    usage["revision"], usage["usage"]["total_tokens"]["value"], usage["hop"]["billable"] = revision, tokens, billable
    extensions = {**event.extensions, "revision": revision}
    return Output(
        Place(of.place.position + 1000 * revision, 0), (event._replace(id=str(uuid4()), data=orjson.dumps(usage), extensions=extensions),)
    )


async def test_every_exchange_is_billed_once_though_offsets_were_lost(
    settings: Kafka, sink: KafkaSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, database = outputs(chats(40)), tmp_path / "charges.db"
    await sink.write(str(uuid4()), some, some[-1].place)

    async def lost(self: AIOKafkaConsumer) -> None:
        raise KafkaError("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaConsumer, "commit", lost)
        async with billing(settings, database) as task:
            await asyncio.wait({task})
            assert isinstance(task.exception(), KafkaError)
    assert charged(database)
    async with billing(settings, database):
        await until_holds(lambda: charged(database) == expected(some))


async def test_what_a_transaction_did_not_commit_is_not_billed(settings: Kafka, sink: KafkaSink, tmp_path: Path) -> None:
    some, journal, database = outputs(chats(20)), str(uuid4()), tmp_path / "charges.db"
    half_done = Transactions(settings, "half-done")
    producer = await half_done._started()
    await producer.begin_transaction()
    for record in records(settings, journal, some[10:]):
        await (await producer.send(record.topic, record.value, record.key, headers=record.named()))
    await sink.write(journal, some[:10], some[9].place)
    async with billing(settings, database):
        await discard(producer)
        half_done._producer = None
        await half_done.offsets("anything", [])  # the same id again: the broker aborts what was open
        await until_holds(lambda: charged(database) == expected(some[:10]))
        await sink.write(journal, some[10:], some[-1].place)
        await until_holds(lambda: charged(database) == expected(some))
    await half_done.close()


async def test_a_revision_replaces_the_charge_and_an_older_one_does_not(settings: Kafka, sink: KafkaSink, tmp_path: Path) -> None:
    some, journal, database = outputs(chats(3)), str(uuid4()), tmp_path / "charges.db"
    ids = [event.extensions["exchange"] for output in some for event in output.events if event.type == USAGE_TYPE]
    second, third = revised(some[0], 2, 9), revised(some[1], 1, 7, billable=False)
    await sink.write(journal, [*some, third, second], Place(9000, 0))
    await sink.write(journal, [revised(some[0], 1, 6)._replace(place=Place(9001, 0))], Place(9001, 0))
    async with billing(settings, database):
        await until_holds(lambda: sorted(charged(database)) == sorted([(ids[0], 2, 9), (ids[1], 1, 0), (ids[2], 0, 5)]))


async def test_killed_as_a_process_it_goes_on_where_it_was(kafka: KafkaBroker, settings: Kafka, sink: KafkaSink, tmp_path: Path) -> None:
    some, journal, database = outputs(chats(60)), str(uuid4()), tmp_path / "charges.db"
    command = [sys.executable, str(SCRIPT), settings.bootstrap_servers, str(database), settings.usage_topic]
    told = []
    for start in range(0, len(some), 20):
        part = some[start : start + 20]
        await sink.write(journal, part, part[-1].place)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            wanted = sum(event.type == USAGE_TYPE for output in part for event in output.events)
            told += [await asyncio.to_thread(process.stdout.readline) for _ in range(wanted)]
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    async with billing(settings, database):
        await until_holds(lambda: charged(database) == expected(some))
    assert all(line.startswith("demo/iris: 5 tokens for ") for line in told)


async def test_the_commands_of_the_page_work_on_an_empty_machine(settings: Kafka, sink: KafkaSink, tmp_path: Path) -> None:
    """As written, but for what the reader puts in: servers, file and topic."""
    install, start = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    ")][:2]
    some = outputs(chats(3))
    await sink.write(str(uuid4()), some, some[-1].place)
    environment = tmp_path / "env"
    uv = Path(sys.executable).with_name("uv")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, environment],
        [uv, *shlex.split(install), "--quiet", "--python", environment / "bin/python", "-c", LOCK],
    ):
        done = await asyncio.to_thread(subprocess.run, [str(word) for word in command], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    program, script = shlex.split(start)[:2]
    reading = [str(environment / "bin" / program), str(PAGE.with_name(script)), settings.bootstrap_servers, str(tmp_path / "charges.db")]
    with subprocess.Popen([*reading, settings.usage_topic], stdout=subprocess.PIPE, text=True) as process:
        try:
            await until_holds(lambda: charged(tmp_path / "charges.db") == expected(some))
        finally:
            process.kill()


def test_the_example_is_short() -> None:
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(code) <= 32
