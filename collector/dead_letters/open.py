"""Where dead letters go: into the SQL store, or, if the sink is Kafka, into its topic."""

from __future__ import annotations

from collector.dead_letters import DeadLetters
from collector.dead_letters.kafka import KafkaDeadLetters
from collector.dead_letters.sql import SqlDeadLetters
from collector.settings import Settings
from collector.sinks.open import open_engine


def open_letters(settings: Settings) -> DeadLetters:
    """Connects when it is first asked for something."""
    return KafkaDeadLetters(settings.kafka) if settings.sink.is_kafka else SqlDeadLetters(open_engine(settings.sink))
