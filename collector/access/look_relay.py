"""The relay that copies who looked from the SQL store to Kafka (access.to_kafka), and how far it is."""

from __future__ import annotations

import random

from collector.access.look import LOOK_TYPE
from collector.access.look_feed import LookFeed
from collector.clock import Clock
from collector.dead_letters import DeadLetters
from collector.metrics import RelayMetrics
from collector.relays.open import Ends
from collector.relays.reached import Reached, committed_in_kafka
from collector.relays.relay import Relay
from collector.settings import Settings
from collector.settings.root import LOOKS
from collector.sinks.kafka import KafkaSink
from collector.store.engine import open_engine


def open_look_relay(settings: Settings, clock: Clock, letters: DeadLetters, metrics: RelayMetrics) -> tuple[Relay, Ends]:
    """The relay, which the caller runs, and its ends, which the caller closes. Nothing connects before it is first asked for something."""
    topics = {LOOK_TYPE: settings.kafka.access_topic}
    ends = Ends(LookFeed(open_engine(settings.sink)), KafkaSink(settings.kafka, LOOKS, topics=topics))
    meter = metrics.meter(LOOKS)
    return Relay(LOOKS, *ends, letters, clock, types=frozenset(topics), random=random.random, meter=meter), ends


async def look_at_looks(settings: Settings) -> Reached:
    """How far it is; what is only read disturbs no relay that runs. Raises RetryableError: one of both ends does not answer."""
    feed = LookFeed(open_engine(settings.sink))
    try:
        place = await committed_in_kafka(settings, LOOKS, LOOKS, settings.kafka.access_topic)
        return Reached(LOOKS, "kafka", LOOKS, place, await feed.high(LOOKS))
    finally:
        await feed.close()
