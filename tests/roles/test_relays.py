"""Relays of the settings in the roles: from the topics, where a store or the pipeline is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collector.clock import SystemClock
from collector.demo.kafka_broker import KafkaBroker
from collector.roles import both, process, store
from collector.roles.parts import Running, Starting
from collector.roles.phase import Phase
from collector.settings import Relay, Settings, Sink
from tests.support.events import JOURNAL
from tests.support.http_receiver import Receiver
from tests.support.kafka import new_topics, unique
from tests.support.outputs import chats, outputs
from tests.support.relays import KafkaOrigin
from tests.support.waits import until_holds


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.close()


ROLES: dict[str, Callable[[Starting], Awaitable[Running]]] = {"store": store.start, "process": process.start, "all": both.start}


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_with_a_sink_runs_the_relays_from_the_topics(
    kafka: KafkaBroker, tmp_path: Path, receiver: Receiver, role: str
) -> None:
    topics = await new_topics(kafka.bootstrap, 2)
    relay = Relay(name=unique("r"), to="http", url=receiver.url, mode="batch")
    settings = Settings(
        role=role,
        kafka=topics,
        relays=[relay],
        sink=Sink(url="kafka:" if role == "process" else f"sqlite:///{tmp_path}/e.db"),
        journal={"url": "kafka:"},
        services={"source": "none"},
        audit={"port": 0},
        ingest={"port": 0, "grpc_port": 0},
    )
    made = outputs(chats(15))
    wanted = sorted(event.id for output in made for event in output.events)
    await KafkaOrigin(topics).fill(JOURNAL, made)
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack, AsyncExitStack() as sources:
        await ROLES[role](Starting(settings, SystemClock(), stack, registry, sources, Phase()))
        await until_holds(lambda: len(receiver.ids) >= len(wanted))
    assert sorted(receiver.ids) == wanted, "bodies too, although no store has them yet"
    assert registry.get_sample_value("meshscribe_relay_events_total", {"relay": relay.name}) == len(wanted)


@pytest.mark.parametrize(
    ("role", "url", "runs"),
    [
        ("receive", "sqlite:///e.db", False),
        ("process", "sqlite:///e.db", False),
        ("process", "kafka:", True),
        ("store", "sqlite:///e.db", True),
        ("audit", "sqlite:///e.db", False),
        ("all", "sqlite:///e.db", True),
    ],
)
def test_which_process_runs_relays_depends_on_its_role_and_on_whether_there_is_a_store(role: str, url: str, runs: bool) -> None:
    assert Settings(role=role, sink=Sink(url=url), kafka={"bootstrap_servers": "h:1"}).runs_relays is runs
