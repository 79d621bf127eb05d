"""Where dead letters go: into the SQL store of the process that gives up, or, if it has none, into the Kafka topic."""

from __future__ import annotations

from pathlib import Path

from collector.dead_letters import DeadLetters
from collector.dead_letters.kafka import KafkaDeadLetters
from collector.dead_letters.several import Several
from collector.dead_letters.sql import SqlDeadLetters
from collector.settings import Settings
from collector.store.engine import open_engine


def open_letters(settings: Settings) -> DeadLetters:
    """Where this process puts its own. Connects when it is first asked for something."""
    if settings.sink.is_kafka or (settings.in_roles and settings.role not in ("store", "audit")):
        return KafkaDeadLetters(settings.kafka)
    return SqlDeadLetters(open_engine(settings.sink))


def open_all_letters(settings: Settings) -> DeadLetters:
    """Those of all roles: `process` has them in the topic, `store` in its tables."""
    if not settings.in_roles or settings.sink.is_kafka or not _is_there(settings.sink.url):
        return open_letters(settings)
    return Several([KafkaDeadLetters(settings.kafka), SqlDeadLetters(open_engine(settings.sink))])


def _is_there(url: str) -> bool:
    """A missing SQLite file would be made by looking into it."""
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).is_file()
