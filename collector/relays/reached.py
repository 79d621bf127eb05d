"""How far relays are, looked at from outside: what is only read disturbs no relay that runs. For `meshscribe relays` and `verify`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

from aiokafka import TopicPartition

from collector.clock import SystemClock
from collector.kafka.clients import consumer, partitions
from collector.kafka.faults import translated
from collector.kafka.offsets import committed
from collector.messages.event import Place
from collector.relays.open import wanted
from collector.relays.places import SqlPlaces
from collector.relays.sql_feed import SqlFeed
from collector.settings import Relay as RelaySettings
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import event_topics, group_of
from collector.sinks.open import open_sink
from collector.sinks.protocol import BEGINNING
from collector.store.engine import open_engine


class Reached(NamedTuple):
    """How far a relay is in one journal. `high`: how far it could be."""

    relay: str
    to: str
    journal: str
    place: Place
    high: Place

    @property
    def behind(self) -> int:
        """Positions; of a Kafka partition, records with the markers of transactions."""
        return max(0, self.high.position - self.place.position)


async def look(relay: RelaySettings, settings: Settings) -> list[Reached]:
    """By journal. Raises RetryableError: one of both ends does not answer."""
    if settings.sinks_in_kafka:
        return await _from_kafka(relay, settings)
    feed = SqlFeed(open_engine(settings.sink), wanted(relay), 1, 1)
    try:
        found = []
        for journal in await feed.journals():
            place = await _in_kafka(relay, settings, journal) if relay.to == "kafka" else await _in_sql(relay, settings, journal)
            found.append(Reached(relay.name, relay.to, journal, place, await feed.high(journal)))
        return found
    finally:
        await feed.close()


async def _in_kafka(relay: RelaySettings, settings: Settings, journal: str) -> Place:
    return await committed_in_kafka(settings, relay.name, journal, settings.kafka.exchanges_topic)


async def committed_in_kafka(settings: Settings, relay: str, journal: str, topic: str) -> Place:
    """What the group has committed; asked of the brokers, not of a producer, which would fence the relay's own."""
    at = TopicPartition(topic, 0)
    with _translated(relay, settings):
        found = (await committed(settings.kafka, group_of(journal, relay), [at])).get(at)
    return Place(found.offset, int(found.metadata)) if found is not None else BEGINNING


async def _in_sql(relay: RelaySettings, settings: Settings, journal: str) -> Place:
    places = SqlPlaces(open_engine(settings.sink), relay.name)
    try:
        return await places.get(journal)
    finally:
        await places.close()


async def _from_kafka(relay: RelaySettings, settings: Settings) -> list[Reached]:
    topics = {topic for kind, topic in event_topics(settings.kafka).items() if kind in wanted(relay)}
    sink = open_sink(SinkSettings(url=relay.url, password_file=relay.password_file), SystemClock()) if relay.to == "sql" else None
    group, found = f"meshscribe-relay-{relay.name}", []
    try:
        with _translated(relay.name, settings):
            async with consumer(settings.kafka, group_id=group, isolation_level="read_committed") as reader:
                for topic in sorted(topics):
                    for at, last in (await reader.end_offsets(await partitions(reader, topic))).items():
                        journal = f"{at.topic}:{at.partition}"
                        place = await sink.high(journal) if sink is not None else Place(await reader.committed(at) or 0, 0)
                        found.append(Reached(relay.name, relay.to, journal, place, Place(last, 0)))
    finally:
        if sink is not None:
            await sink.close()
    return found


def _translated(relay: str, settings: Settings) -> AbstractContextManager[None]:
    return translated(settings.kafka, f"relay {relay}: ")
