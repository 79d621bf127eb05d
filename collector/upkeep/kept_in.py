"""Which SQL store an operator's tool works on: the sink, or where the sink is Kafka, the first that a relay copies it to."""

from __future__ import annotations

from collector.errors import SettingsError
from collector.settings import Relay, Settings
from collector.settings import Sink as SinkSettings


def copied_to_sql(settings: Settings) -> Relay | None:
    """The first relay to a SQL store."""
    return next((relay for relay in settings.relays if relay.to == "sql"), None)


def kept_in_sql(settings: Settings) -> SinkSettings:
    """The store. Raises SettingsError: there is none."""
    if not settings.sink.is_kafka:
        return settings.sink
    copy = copied_to_sql(settings)
    if copy is None:
        raise SettingsError(["sink.url: it is Kafka, and no relay copies it to a SQL store: there is nothing to look at"])
    return SinkSettings(url=copy.url, password_file=copy.password_file)
