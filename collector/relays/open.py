"""From the settings to feeds, targets and relays. Nothing connects before it is first asked for something."""

from __future__ import annotations

import random
from typing import NamedTuple

from collector.clock import Clock
from collector.dead_letters import DeadLetters
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, USAGE_TYPE
from collector.relays.http_client import Client
from collector.relays.http_target import HttpTarget
from collector.relays.kafka_feed import KafkaFeed, KafkaPlaces
from collector.relays.places import SqlPlaces
from collector.relays.protocol import Feed
from collector.relays.relay import Meter, Relay
from collector.relays.sql_feed import SqlFeed
from collector.settings import Relay as RelaySettings
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import KafkaSink, event_topics
from collector.sinks.open import open_sink
from collector.sinks.protocol import Target
from collector.store.engine import open_engine

TYPES = {
    "exchange": EXCHANGE_TYPE,
    "usage": USAGE_TYPE,
    "ledger": LEDGER_TYPE,
    "request": REQUEST_TYPE,
    "response": RESPONSE_TYPE,
}
IN_SQL = frozenset({EXCHANGE_TYPE, REQUEST_TYPE, RESPONSE_TYPE, LEDGER_TYPE})  # a usage event is made again of its exchange's record
HTTP_BATCH = 100  # events in a request of batch mode


class Ends(NamedTuple):
    """Both ends of a relay."""

    feed: Feed
    target: Target


def open_ends(relay: RelaySettings, settings: Settings, clock: Clock) -> Ends:
    """The two ends that a relay joins. Raises SettingsError: files that do not fit."""
    feed = open_feed(relay, settings)
    if relay.to == "kafka":
        return Ends(feed, KafkaSink(settings.kafka, relay.name, relay.bodies_url))
    if relay.to == "sql":
        return Ends(feed, open_sink(SinkSettings(url=relay.url, password_file=relay.password_file), clock, settings.usage, settings.search))
    places = KafkaPlaces(feed) if isinstance(feed, KafkaFeed) else SqlPlaces(open_engine(settings.sink), relay.name)
    batch_bytes = min(relay.batch_bytes, 1 << 20)
    return Ends(feed, HttpTarget(Client(relay), places, clock, mode=relay.mode, batch=HTTP_BATCH, batch_bytes=batch_bytes))


def open_feed(relay: RelaySettings, settings: Settings) -> SqlFeed | KafkaFeed:
    """What the relay reads: the sink's events of its types."""
    types = wanted(relay)
    if not settings.sinks_in_kafka:
        return SqlFeed(open_engine(settings.sink), types, relay.batch_exchanges, relay.batch_bytes, relay.name)
    topics = [topic for kind, topic in event_topics(settings.kafka).items() if kind in types]
    return KafkaFeed(settings.kafka, f"meshscribe-relay-{relay.name}", topics, relay.batch_exchanges, relay.batch_bytes)


def wanted(relay: RelaySettings) -> frozenset[str]:
    """The CloudEvents types that the relay copies."""
    types = frozenset(TYPES[name] for name in relay.types)
    return types & IN_SQL if relay.to == "sql" else types


def open_relay(relay: RelaySettings, settings: Settings, letters: DeadLetters, clock: Clock, meter: Meter | None) -> tuple[Relay, Ends]:
    """The relay, which the caller runs, and its ends, which the caller closes."""
    ends = open_ends(relay, settings, clock)
    return Relay(relay.name, *ends, letters, clock, types=wanted(relay), random=random.random, meter=meter), ends
