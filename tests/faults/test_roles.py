"""Random SIGKILLs of receiver and processes under load, and of the broker in between: what was acknowledged is there exactly once.

MESHSCRIBE_SOAK_KILLS and MESHSCRIBE_SOAK_RATE set the long form's size.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.demo.kafka_broker import KafkaBroker
from collector.messages.event import EXCHANGE_TYPE
from tests.support.cluster import Cluster, Member, exactly_once
from tests.support.kafka import running_broker
from tests.support.postgres import Database
from tests.support.proxies import Proxies
from tests.support.waits import until

SOAK_KILLS = int(os.environ.get("MESHSCRIBE_SOAK_KILLS", "50"))
SOAK_RATE = float(os.environ.get("MESHSCRIBE_SOAK_RATE", "500"))
PROXIES = 8
PAUSE_SECONDS = (0.2, 2.5)  # between a start and the next kill
DEAD_SECONDS = (0.0, 1.0)
BROKER_EVERY = 3  # kills


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of this test's own, which it may torment."""
    with running_broker(tmp_path / "kafka") as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kills", "rate"), [(5, 500.0), pytest.param(SOAK_KILLS, SOAK_RATE, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_killed_roles_lose_nothing_acknowledged_and_write_nothing_twice(
    broker: KafkaBroker, database: Database, tmp_path: Path, kills: int, rate: float
) -> None:
    with ExitStack() as stack:
        cluster = Cluster(broker.bootstrap, tmp_path, stack)
        receive = cluster.member("receive", "receive")
        processes = [cluster.member(f"process-{n}", "process") for n in range(2)]
        store = cluster.member("store", "store", MESHSCRIBE_SINK__URL=database.url)
        for member in (receive, *processes, store):
            member.start()
        assert until(lambda: receive.ready and cluster.owned(processes), bool, 60), cluster.owners(processes)
        proxies = Proxies(receive.ingest_port, receive.grpc_port, PROXIES, rate)
        proxies.start()
        _torment([receive, *processes], broker, kills)
        proxies.end(120)
        exactly_once(cluster, proxies.acknowledged, 180)
        events = until(cluster.events, lambda found: found.usages == found.billable, 60)
        assert events.usages == events.billable, "each exchange with a meaning, and each of its revisions, is billed for once"
        assert _stored(database, sum(events.of(EXCHANGE_TYPE).values())) == events.of(EXCHANGE_TYPE)


def _torment(members: list[Member], broker: KafkaBroker, kills: int) -> None:
    """Kills one after the other while the traffic goes on. The moments are what the test varies."""
    chance = random.Random(kills)
    for number in range(kills):
        time.sleep(chance.uniform(*PAUSE_SECONDS))
        victim = chance.choice(members)
        victim.process.kill()
        time.sleep(chance.uniform(*DEAD_SECONDS))
        victim.start()
        if number % BROKER_EVERY == BROKER_EVERY - 1:
            _restart(broker, chance.random() < 0.5)


def _restart(broker: KafkaBroker, crash: bool) -> None:
    if crash:
        broker.kill()
    else:
        broker.stop()
    broker.start()


def _stored(database: Database, wanted: int) -> Counter[str]:
    """Ids of the exchange rows, once there are as many as wanted or the time is over."""

    def ids() -> Counter[str]:
        return Counter(row["id"] for row in database.postgres.run("SELECT id FROM exchanges", database.name))

    return until(ids, lambda found: found.total() >= wanted, 120)
