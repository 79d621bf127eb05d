"""From the settings to a running relay, and what is seen of it from outside."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import func, select

from collector.demo.kafka_broker import KafkaBroker
from collector.metrics import RelayMetrics
from collector.relays.reached import look
from collector.relays.start import start_relays
from collector.settings import Relay, Settings, Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.schema import mark_runs
from tests.support.clocks import TurnedClock
from tests.support.events import DAY_US, JOURNAL, NOW_US
from tests.support.http_receiver import Receiver
from tests.support.kafka import new_topics, unique
from tests.support.outputs import chats, outputs
from tests.support.relays import KafkaOrigin
from tests.support.waits import until_holds
from tests.support.witnesses import T0


async def test_from_kafka_to_http_by_the_settings(kafka: KafkaBroker) -> None:
    topics = await new_topics(kafka.bootstrap, 2)
    receiver = Receiver()
    await receiver.start()
    relay = Relay(name=unique("r"), to="http", url=receiver.url, mode="batch", types=["usage", "exchange"])
    settings = Settings(sink=Sink(url="kafka:"), kafka=topics, relays=[relay])
    made = outputs(chats(15))
    await KafkaOrigin(topics).fill(JOURNAL, made)
    await until_holds(lambda: _behind(relay, settings, 30, 40))  # a transaction's markers come a little later than its end
    registry = CollectorRegistry()
    relays = start_relays(settings, TurnedClock(NOW_US), RelayMetrics(registry))
    await until_holds(lambda: len(receiver.events) == 30)
    await until_holds(lambda: relays.statuses[0].lag == 0)
    assert len(set(receiver.ids)) == 30
    (component,) = relays.components()
    assert (component.name, component.ok) == (f"relay {relay.name}", True)
    assert f'meshscribe_relay_events_total{{relay="{relay.name}"}} 30.0' in generate_latest(registry).decode()
    await relays.stop()
    assert await _behind(relay, settings, 0, 0)
    await receiver.close()


async def _behind(relay: Relay, settings: Settings, low: int, high: int) -> bool:
    return low <= sum(reached.behind for reached in await look(relay, settings)) <= high


async def test_a_relay_that_fails_is_told_and_makes_nobody_unready(kafka: KafkaBroker) -> None:
    topics = await new_topics(kafka.bootstrap, 1)
    await KafkaOrigin(topics).fill(JOURNAL, outputs(chats(1)))
    relay = Relay(name=unique("r"), to="http", url="http://127.0.0.1:9/")
    settings = Settings(sink=Sink(url="kafka:"), kafka=topics, relays=[relay])
    relays = start_relays(settings, TurnedClock(NOW_US), RelayMetrics(CollectorRegistry()))
    await until_holds(lambda: relays.statuses[0].failing)
    (component,) = relays.components()
    assert component.ok
    assert "failing since" in component.detail
    async with asyncio.timeout(10):
        await relays.stop()


async def test_the_index_of_a_store_that_a_relay_fills_is_put_in_order(kafka: KafkaBroker, tmp_path: Path) -> None:
    topics = await new_topics(kafka.bootstrap, 1)
    url = f"sqlite:///{tmp_path}/copy.db"
    relay = Relay(name=unique("r"), to="sql", url=url, types=["exchange"])
    settings = Settings(sink=Sink(url="kafka:"), kafka=topics, relays=[relay])
    await KafkaOrigin(topics).fill(JOURNAL, outputs(chats(15)))
    clock = TurnedClock(T0 + 3 * DAY_US)
    clock.longest_sleep = 0.05
    relays = start_relays(settings, clock, RelayMetrics(CollectorRegistry()))
    await until_holds(lambda: relays.statuses[0].failing)
    assert not (tmp_path / "copy.db").exists()  # nobody makes a store that was not migrated
    await asyncio.to_thread(migrate, url)
    engine = open_engine(Sink(url=url))

    async def in_runs() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(select(func.coalesce(func.sum(mark_runs.c.count), 0)))).scalar_one())

    async with asyncio.timeout(30):
        while await in_runs() < 15:
            await asyncio.sleep(0.05)
    await engine.dispose()
    await relays.stop()
