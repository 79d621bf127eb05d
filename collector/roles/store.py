"""Role store: copies the events topics into the SQL store: a relay from Kafka to SQL, of which any number may run as one consumer group.

A partition of a topic is a journal to the store: its place goes into the same transaction as the rows, so that each event is there once,
whoever wrote it. What the store can never take goes to the dead letters. Days that are older than sink.retention_days are deleted here.
The relays of the settings run here too: from the topics, beside the store's own, and each in a consumer group of its own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from collector.dead_letters.open import open_letters
from collector.enrich.directory import Directory, open_versions
from collector.enrich.kafka import KafkaVersionStore
from collector.enrich.metrics import ServicesMetrics
from collector.health import Component
from collector.metrics import RelayMetrics
from collector.relays.kafka_feed import KafkaFeed
from collector.relays.open import IN_SQL
from collector.relays.relay import Relay
from collector.relays.start import told
from collector.roles.audit_api import start_look_expiry
from collector.roles.parts import Addresses, RoleHealth, Running, Starting, clock_part, patiently
from collector.roles.probes import start_probes
from collector.roles.shared import start_own_relays
from collector.settings import Settings
from collector.settings.root import STORE
from collector.sinks.kafka import event_topics
from collector.sinks.open import open_sink
from collector.store.engine import open_engine, open_expiry, prepare_to_write
from collector.store.merging import Merging
from collector.store.retention import Retention, UsageExpiry
from collector.store.usage_book import counting
from collector.store.usage_counting import BackgroundCount
from collector.tasks import cancel

BATCH_BYTES = 8 << 20
STOP_SECONDS = 5.0


async def start_services_copy(starting: Starting, health: RoleHealth) -> None:
    """Begins with what the SQL store lacks. Old versions are deleted there too."""
    settings, clock, stack, registry = starting[:4]
    engine = open_engine(settings.sink)
    stack.push_async_callback(engine.dispose)
    directory = Directory(
        settings.services,
        open_versions(settings.kafka, engine, clock),
        clock,
        retention_days=settings.sink.retention_days,
        follows=KafkaVersionStore(settings.kafka),
    )
    await directory.start()
    stack.push_async_callback(directory.stop)
    ServicesMetrics(registry, directory, clock)
    health.parts.append(lambda: [directory.component()])


async def start(starting: Starting) -> Running:
    """Joins the group. Raises SettingsError: the store's tables are of another version."""
    settings, clock, stack, registry = starting[:4]
    health = RoleHealth()
    address = await start_probes(starting, health)
    await patiently(lambda: prepare_to_write(settings.sink), clock, health.wait_for)
    feed = _feed(settings)
    stack.push_async_callback(feed.close)
    target = open_sink(settings.sink, clock, settings.usage, settings.search)
    stack.push_async_callback(target.close)
    letters = open_letters(settings)
    stack.push_async_callback(letters.close)
    metrics = RelayMetrics(registry)
    relay = Relay(STORE, feed, target, letters, clock, types=IN_SQL, random=random.random, meter=metrics.meter(STORE))
    metrics.watch(lambda: [relay.status])
    task = asyncio.create_task(relay.run())
    stack.push_async_callback(_stop, relay, task)
    start_own_relays(starting, health, metrics)
    for store, days in ((open_expiry(settings.sink), settings.sink.retention_days), (_sums(settings), settings.usage.retention_days)):
        if days is not None:
            stack.push_async_callback(cancel, asyncio.create_task(Retention(store, days, clock).run()))
    start_look_expiry(starting)
    engine = open_engine(settings.sink)
    stack.push_async_callback(engine.dispose)
    stack.push_async_callback(cancel, asyncio.create_task(Merging(engine, clock).run()))
    older = BackgroundCount(engine, counting(settings.usage), clock)
    stack.push_async_callback(cancel, asyncio.create_task(older.run()))
    health.parts += [lambda: _components(relay), older.components, clock_part(starting)]
    await start_services_copy(starting, health)
    return Running(task, Addresses(audit=address))


def _feed(settings: Settings) -> KafkaFeed:
    topics = [topic for kind, topic in event_topics(settings.kafka).items() if kind in IN_SQL]
    group = f"meshscribe-store-{settings.kafka.exchanges_topic}"
    return KafkaFeed(settings.kafka, group, topics, settings.sink.batch_exchanges, BATCH_BYTES)


def _sums(settings: Settings) -> UsageExpiry:
    return UsageExpiry(open_expiry(settings.sink))


def _components(relay: Relay) -> Sequence[Component]:
    status = relay.status
    places = ", ".join(f"{journal} at {place.position}" for journal, place in sorted(status.places.items()))
    return [Component(STORE, status.failing is None, f"{told(status)}; {places}" if places else told(status))]


async def _stop(relay: Relay, task: asyncio.Task[None]) -> None:
    """What was begun is finished, if the store takes it in time."""
    relay.stop()
    _, late = await asyncio.wait({task}, timeout=STOP_SECONDS)
    if late:
        await cancel(task)
